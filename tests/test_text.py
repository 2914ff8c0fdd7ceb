"""The text encoder and its tokenizers against the stock classes, both directions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from manzar.nouns import ModelError, UsageError
from manzar.text import (
    MAX_TOKENS,
    PROMPT_LIMIT,
    SMALL,
    ByteTokenizer,
    HubTokenizer,
    TextConfig,
    TextEncoder,
    WordTokenizer,
    clean,
    load_tokenizer,
    misspell,
)
from manzar.text.encoder import GROUP, relative_buckets

TINY = TextConfig(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4)
PROMPTS = [
    "a red circle moves left", "", "سرخ دائرہ بائیں جاتا ہے", "红色圆形向左移动", "लाल वृत्त बाईं ओर जाता है",
    "The quick brown fox jumps over the lazy dog, while 42 pixelated vehicles orbit a figure; the camera pans. " * 3,
]  # fmt: skip
ODD = [
    "a </s> b", "a</s>", "</s></s>", "x <pad> y", "<unk>", "<extra_id_0>z  <extra_id_124> q", "<extra_id_125>",
    "<extra_id_007>",
    "a &amp;lt;b&amp;gt; &quot;c&quot;", "  many \n\t spaces\u3000here\u00a0", "é e\u0301 ﬁ",
    "👩‍👩‍👧", "\u200fاردو\u200f", "nul\x00byte",
]  # fmt: skip


def randomised(encoder: TextEncoder) -> TextEncoder:
    """Every weight away from its starting value, so that none can be ignored unnoticed, and none so large that the
    unscaled logits would magnify rounding (stock itself is 7e-6 from its double-precision self at its own init)."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.5 * noise if "bias" in name else parameter * (1 + 0.2 * noise))
    return encoder


def stock_encoder(config: TextConfig) -> Any:
    from transformers import UMT5Config, UMT5EncoderModel

    return UMT5EncoderModel(UMT5Config(**config.to_json())).eval()


def stock_embedding(stock: Any, ids: Tensor, lengths: Tensor) -> Tensor:
    mask = torch.arange(ids.shape[1]) < lengths[:, None]
    with torch.no_grad():
        out: Tensor = stock(ids, mask.long()).last_hidden_state
    return out * mask[..., None]


@pytest.fixture(scope="module")
def byte_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("byte") / "tokenizer"
    ByteTokenizer().save(folder)
    return folder


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Unigram tokenizer of a hundred pieces in the files of a T5 hub model."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    specials = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=100, special_tokens=specials, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(["a red circle moves left", "a blue square moves right and up"] * 20, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    folder = tmp_path_factory.mktemp("hub") / "tokenizer"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
                            model_max_length=512).save_pretrained(str(folder))
    config_file = folder / "tokenizer_config.json"
    config = json.loads(config_file.read_text()) | {"tokenizer_class": "T5TokenizerFast", "extra_ids": 0}
    config_file.write_text(json.dumps(config))
    return folder


# ---- tokenizers


CAPTIONS = ("a red circle.", "一个红色的圆形，", "एक लाल वृत्त। फ़िरोज़ी दाईं", "ایک سرخ دائرہ،",
            "دائرة حمراء إلى اليسار كرة")  # fmt: skip


@pytest.fixture(scope="module")
def words() -> WordTokenizer:
    return WordTokenizer.from_captions(CAPTIONS)


def test_byte_ids_are_byt5s() -> None:
    from transformers import ByT5Tokenizer

    stock, ours = ByT5Tokenizer(), ByteTokenizer()
    assert len(stock) == ours.vocab_size == SMALL.vocab_size
    texts = [*PROMPTS, *ODD, "क" * 400, "y" * 510, "y" * 511, "y" * 512]
    theirs = stock(texts, truncation=True, max_length=MAX_TOKENS).input_ids
    for text, mine, other in zip(texts, ours.encode(texts), theirs, strict=True):
        assert mine == other, text


def test_long_text_is_cut_and_keeps_its_end() -> None:
    (ids,) = ByteTokenizer().encode(["y" * 2000])
    assert len(ids) == MAX_TOKENS
    assert ids[-1] == 1


def test_cleaning_is_the_stock_pipelines() -> None:
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean

    for text in [*PROMPTS, *ODD]:
        assert clean(text) == prompt_clean(text), text
    assert clean("a &amp;lt;b&amp;gt;\n c ") == "a <b> c"


def test_saved_byte_tokenizer_loads_in_transformers(byte_folder: Path) -> None:
    from transformers import AutoTokenizer, ByT5Tokenizer

    for kind in (AutoTokenizer, ByT5Tokenizer):
        stock = kind.from_pretrained(str(byte_folder))
        assert type(stock).__name__ == "ByT5Tokenizer"
        assert stock([*PROMPTS, *ODD]).input_ids == ByteTokenizer().encode([*PROMPTS, *ODD])
    assert isinstance(load_tokenizer(byte_folder), ByteTokenizer)


def test_byt5_folder_as_transformers_saves_it_loads(tmp_path: Path) -> None:
    from transformers import ByT5Tokenizer

    ByT5Tokenizer().save_pretrained(str(tmp_path))
    assert isinstance(load_tokenizer(tmp_path), ByteTokenizer)


def test_hub_tokenizer_loads_through_the_same_door(hub_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    ours, stock = load_tokenizer(hub_folder), AutoTokenizer.from_pretrained(str(hub_folder))
    assert isinstance(ours, HubTokenizer)
    assert type(stock).__name__.startswith("T5Tokenizer")
    assert ours.vocab_size > 20
    assert ours.encode(["a red circle"]) != ours.encode(["a blue square"])
    texts = ["a red circle moves left", "", "blue " * 600]
    assert ours.encode(texts) == stock(texts, truncation=True, max_length=MAX_TOKENS).input_ids
    assert [len(ids) <= MAX_TOKENS and ids[-1] == 1 for ids in ours.encode(texts)] == [True] * 3
    encoder = TextEncoder.from_parts(TINY.to_json(), None, hub_folder)
    encoder.save_tokenizer(tmp_path / "again")
    assert load_tokenizer(tmp_path / "again").encode(texts) == ours.encode(texts)
    embedding, lengths = encoder.embed(texts[:2])
    assert embedding.shape == (2, int(lengths.max()), TINY.d_model)


def test_words_are_one_token_each_in_every_script(words: WordTokenizer) -> None:
    known = {"a red circle.": 4, "一个红色的圆形": 7, "एक लाल वृत्त।": 4, "ایک سرخ دائرہ": 3, "دائرة حمراء": 2}
    for caption, count in known.items():
        (ids,) = words.encode([caption])
        assert len(ids) == count + 1 and ids[-1] == 1, caption


@pytest.mark.parametrize(("meant", "typed"), [
    ("a red circle.", "A  RED\u200b circle."), ("a red circle.", "ａ ｒｅｄ circle．"), ("एक लाल वृत्त।", "एक लाल वृत्त."),
    ("फ़िरोज़ी", "फिरोजी"), ("दाईं", "दाईँ"), ("دائرة حمراء", "دَائِرَةٌ حَمْراء"),
    ("دائرة حمراء", "دائره حمرا"), ("إلى اليسار", "الي اليسار"), ("سرخ دائرہ", "سرخ دائره"), ("كرة", "کرۃ"),
    ("5", "५"), ("5", "٥"), ("5", "۵"), ("一个圆形，", "一个圆形,"), ("سرخ،", "ســـرخ,"),
])  # fmt: skip
def test_what_is_meant_alike_is_read_alike(words: WordTokenizer, meant: str, typed: str) -> None:
    assert words.encode([typed]) == words.encode([meant])


def test_what_no_caption_said_falls_apart_and_is_named(words: WordTokenizer) -> None:
    assert words.notes("a red circle. एक लाल वृत्त। 一个红色的圆形") == []
    assert words.notes("a cirlce, 鳄 کتا") == ['unknown word: "cirlce" (the nearest known is "circle")',
                                             'unknown word: "鳄"', 'unknown word: "کتا"']  # fmt: skip
    (ids,) = words.encode(["鳄"])
    assert len(ids) == 4 and 2 not in ids  # three bytes and the end; nothing is ever the unknown token


def test_the_order_of_captions_changes_nothing_of_the_vocabulary() -> None:
    other = WordTokenizer.from_captions(reversed(CAPTIONS))
    assert other.stock.to_str() == WordTokenizer.from_captions(CAPTIONS).stock.to_str()


def test_saved_words_load_in_transformers_and_agree(words: WordTokenizer, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    words.save(tmp_path)
    stock = AutoTokenizer.from_pretrained(tmp_path)
    texts = [*CAPTIONS, "ＡＢＣ दाईँ كرة crocodile 鳄鱼", "", "a " * 600]
    assert stock(texts, truncation=True, max_length=512)["input_ids"] == words.encode(texts)
    assert load_tokenizer(tmp_path).encode(texts) == words.encode(texts)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json does not load"):
        load_tokenizer(tmp_path)


def test_a_slip_of_the_pen_is_one_edit_in_one_word() -> None:
    seen = {misspell("a red circle", iter([0, at, kind])) for at in range(5) for kind in range(3)}
    assert {"a red icrcle", "a red ircle", "a red ciircle"} <= seen and "a red circle" not in seen
    assert misspell("a red", iter([])) == "a red"


def test_unusable_tokenizers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer_config\.json is missing"):
        load_tokenizer(tmp_path)
    config = tmp_path / "tokenizer_config.json"
    config.write_text("{")
    with pytest.raises(ModelError, match="not JSON"):
        load_tokenizer(tmp_path)
    config.write_text(json.dumps({"tokenizer_class": "T5TokenizerFast"}))
    with pytest.raises(ModelError, match="no vocabulary"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="does not load as a tokenizer"):
        load_tokenizer(tmp_path)


# ---- prompts


def test_a_prompt_too_long_is_refused_by_its_length() -> None:
    encoder = TextEncoder(TINY, ByteTokenizer())
    with pytest.raises(UsageError, match=r"100,000 characters.*2,000"):
        encoder.tokenize(["fine", "z" * 100_000])
    ids, lengths = encoder.tokenize(["z" * PROMPT_LIMIT])
    assert ids.shape == (1, MAX_TOKENS)
    assert lengths.tolist() == [MAX_TOKENS]


def test_a_prompt_that_is_not_text_is_refused() -> None:
    with pytest.raises(UsageError, match="character 2"):
        TextEncoder(TINY, ByteTokenizer()).tokenize(["ab\udce9"])


def test_tokenize_pads_to_the_longest_only() -> None:
    ids, lengths = TextEncoder(TINY, ByteTokenizer()).tokenize(["ab", "", " abcd &amp; "])
    assert ids.dtype == lengths.dtype == torch.int64
    assert lengths.tolist() == [3, 1, 7]
    assert ids.tolist() == [[100, 101, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0], [100, 101, 102, 103, 35, 41, 1]]


# ---- the encoder


@pytest.mark.parametrize("config", [TINY, SMALL], ids=["tiny", "small"])
def test_parity_with_stock_ours_to_theirs(config: TextConfig) -> None:
    ours = randomised(TextEncoder(config, ByteTokenizer()))
    theirs = stock_encoder(config)
    mine = ours.state_dict()
    assert set(theirs.state_dict()) - set(mine) == {"encoder.embed_tokens.weight"}  # tied to shared.weight
    theirs.load_state_dict({**mine, "encoder.embed_tokens.weight": mine["shared.weight"]}, strict=True)
    ids, lengths = ours.tokenize([*PROMPTS, *["many words " * k for k in range(GROUP + 3)]])
    with torch.no_grad():
        torch.testing.assert_close(ours(ids, lengths), stock_embedding(theirs, ids, lengths), rtol=0, atol=1e-5)


def test_parity_with_stock_theirs_to_ours(tmp_path: Path, byte_folder: Path) -> None:
    from safetensors.torch import load_file

    torch.manual_seed(0)
    theirs = stock_encoder(TINY)
    theirs.save_pretrained(str(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    ours = TextEncoder.from_parts(config, load_file(tmp_path / "model.safetensors"), byte_folder)
    assert ours.config == TINY
    ids, lengths = ours.tokenize(PROMPTS)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids, lengths), stock_embedding(theirs, ids, lengths), rtol=0, atol=1e-5)
    both = TextEncoder.from_parts(config, theirs.state_dict(), byte_folder)  # the tied tensor under both its names
    assert torch.equal(both.shared.weight, ours.shared.weight)


def test_embedding_equals_the_stock_pipelines(byte_folder: Path) -> None:
    from diffusers import WanPipeline
    from transformers import AutoTokenizer

    ours = randomised(TextEncoder(TINY, ByteTokenizer()))
    theirs = stock_encoder(TINY)
    theirs.load_state_dict({**ours.state_dict(), "encoder.embed_tokens.weight": ours.shared.weight})
    pipeline = WanPipeline(tokenizer=AutoTokenizer.from_pretrained(str(byte_folder)), text_encoder=theirs, vae=None,
                           scheduler=None, transformer=None)
    prompts = [*PROMPTS, "  two  words &amp;amp; more "]
    with torch.no_grad():
        stock, _ = pipeline.encode_prompt(prompts, do_classifier_free_guidance=False, max_sequence_length=MAX_TOKENS)
        embedding, _ = ours.embed(prompts)
    padded = torch.nn.functional.pad(embedding, (0, 0, 0, MAX_TOKENS - embedding.shape[1]))
    torch.testing.assert_close(padded, stock, rtol=0, atol=1e-5)


def test_company_and_padding_change_nothing() -> None:
    encoder = randomised(TextEncoder(TINY, ByteTokenizer()))
    with torch.no_grad():
        together, lengths = encoder.embed([*PROMPTS, *["again and again"] * GROUP])
        for prompt, row, length in zip(PROMPTS, together, lengths.tolist(), strict=False):
            alone, _ = encoder.embed([prompt])
            torch.testing.assert_close(row[:length], alone[0], rtol=0, atol=1e-5)
            assert not row[length:].any()


def test_relative_buckets_are_stocks() -> None:
    attention = stock_encoder(TINY).encoder.block[0].layer[0].SelfAttention
    distance = torch.arange(-600, 601)
    assert torch.equal(relative_buckets(distance, 32, 128), attention._relative_position_bucket(distance))


def test_gradients_reach_every_weight_and_are_right() -> None:
    """Against the stock class's autograd, since norm and attention are written out by hand here."""
    ours = randomised(TextEncoder(TINY, ByteTokenizer()))
    theirs = stock_encoder(TINY)
    theirs.load_state_dict({**ours.state_dict(), "encoder.embed_tokens.weight": ours.shared.weight})
    ids, lengths = ours.tokenize(PROMPTS)
    probe = torch.randn(*ids.shape, TINY.d_model, generator=torch.Generator().manual_seed(1))
    (ours(ids, lengths) * probe).sum().backward()
    mask = torch.arange(ids.shape[1]) < lengths[:, None]
    (theirs(ids, mask.long()).last_hidden_state * mask[..., None] * probe).sum().backward()
    reference = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        grad, expected = parameter.grad, reference[name].grad
        assert grad is not None, name
        assert grad.abs().sum() > 0, name
        torch.testing.assert_close(grad, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_fresh_weights_give_order_one_and_soft_attention() -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(SMALL, ByteTokenizer())
    with torch.no_grad():
        embedding, lengths = encoder.embed(PROMPTS)
        row = embedding[0, : int(lengths[0])]
        assert 0.9 < row.square().mean().sqrt() < 1.1
        attention = encoder.encoder.block[0].layer[0].SelfAttention
        x = torch.randn(50, SMALL.d_model)
        logits = attention.q(x)[:, : SMALL.d_kv] @ attention.k(x)[:, : SMALL.d_kv].T
    assert 0.5 < logits.std() < 1.5


def test_bf16_autocast_stays_close() -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(TINY, ByteTokenizer())
    with torch.no_grad():
        exact, _ = encoder.embed(PROMPTS)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fast, _ = encoder.embed(PROMPTS)
    assert fast.dtype == torch.float32
    assert (exact - fast).abs().max() < 0.1


# ---- what does not fit


def test_weights_that_do_not_fit_are_named(byte_folder: Path) -> None:
    good = TextEncoder(TINY, ByteTokenizer()).state_dict()
    name = "encoder.block.1.layer.0.SelfAttention.k.weight"
    broken = [
        ({k: v for k, v in good.items() if k != name}, "missing"),
        (good | {"decoder.weight": torch.zeros(1)}, "not part"),
        (good | {name: torch.zeros(2, 2)}, r"\(2, 2\)"),
    ]
    for tensors, word in broken:
        with pytest.raises(ModelError, match=word):
            TextEncoder.from_parts(TINY.to_json(), tensors, byte_folder)


def test_other_encoders_are_refused(byte_folder: Path) -> None:
    config = TINY.to_json()
    lacking = {key: value for key, value in config.items() if key != "d_kv"}
    for changed, word in [(config | {"model_type": "t5"}, "'t5'"), (config | {"feed_forward_proj": "relu"}, "relu"),
                          (lacking, "d_kv"), (config | {"vocab_size": 100}, "384 ids")]:
        with pytest.raises(ModelError, match=word):
            TextEncoder.from_parts(changed, None, byte_folder)


def test_config_survives_json() -> None:
    assert TextConfig.from_json(SMALL.to_json()) == SMALL


def test_a_new_encoder_tells_words_apart_by_their_letters() -> None:
    """Each head starts at a near neighbour, so swapping two letters changes what stands around them and little else."""
    torch.manual_seed(0)
    encoder = TextEncoder(SMALL, ByteTokenizer())
    with torch.no_grad():
        (a, _), (b, _) = (encoder.embed([text]) for text in ("one red circle moves", "one rde circle moves"))
    change = (a - b).norm(dim=-1)[0]  # (L,)
    assert change[4:9].min() > 3 * change[14:].max()
