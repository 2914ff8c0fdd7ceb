from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest

from manzar.curate.captions.languages import asked_languages, clean, contradiction, detect_language, language_code
from manzar.curate.captions.read import CaptionTable, captions_for, missing, read_table, texts_beside
from manzar.nouns import Clip, DataError, UsageError

SHARED = Path(__file__).resolve().parents[2] / "shared"
CLIPS = SHARED / "clips"
needs_clips = pytest.mark.skipif(not CLIPS.exists(), reason="the shared footage is not on this machine")


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def captions(table: CaptionTable, video: Path) -> dict[str, str]:
    return dict(table.find(video, video.parent).captions)


def read_text(path: Path, text: str, encoding: str = "utf-8") -> CaptionTable:
    path.write_bytes(text.encode(encoding))
    return read_table(path)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A red ball moves left.", "en"),
        ("一个红色的球向左移动 HD", "zh"),
        ("लाल गेंद बाईं ओर चलती है", "hi"),
        ("ایک سرخ گیند بائیں طرف جاتی ہے", "ur"),
        ("كرة حمراء تتحرك إلى اليسار", "ar"),
        ("قطة على الطاولة", "ar"),
        ("توپ قرمز روی میز است", "fa"),
        ("12:30", "en"),
        ("赤いボールが動く", "ja"),
        ("빨간 공", "ko"),
        ("красный мяч", "ru"),
        ("червоний м'яч їде", "uk"),
        ("ஒரு சிவப்பு பந்து", "ta"),
        ("un chien court dans la rue", "fr"),
        ("ein Hund läuft auf der Straße", "de"),
        ("un perro corre en el parque con una pelota", "es"),
        ("A man in a red hat walks on la playa", "en"),
    ],
)
def test_language_of_a_text(text: str, language: str) -> None:
    assert detect_language(text) == language


def test_languages_have_one_code_each_however_they_are_named() -> None:
    assert {language_code(name) for name in ("ur", "UR", "ur-PK", "ur_IN", "urd", "Urdu", "اردو")} == {"ur"}
    assert (language_code("zh-Hant"), language_code("zh-TW"), language_code("hd"), language_code("v2")) == (
        "zh-hant", "zh", None, None)  # fmt: skip
    assert asked_languages("en, Urdu,en") == ("en", "ur")
    with pytest.raises(UsageError, match='"klingon" is no language'):
        asked_languages("en,klingon")
    with pytest.raises(UsageError, match="no language was asked for"):
        asked_languages(" , ")


def test_scripts_that_contradict_the_stated_language() -> None:
    wrong = {("a ball", "ur"): "en", ("गेंद", "ur"): "hi", ("كرة تتحرك", "ur"): "ar", ("کھیل", "ar"): "ur",
             ("球", "en"): "zh"}  # fmt: skip
    assert {pair: contradiction(*pair) for pair in wrong} == wrong
    right = [("گیند", "ur"), ("منظر", "ur"), ("منظر", "ar"), ("une balle", "fr"), ("12", "zh"), ("球", "ja")]
    assert [contradiction(*pair) for pair in right] == [None] * len(right)


def test_text_is_kept_as_it_is_but_for_spaces_form_and_direction_marks_at_its_ends() -> None:
    assert clean("\u202b ایک\u00a0گیند \u202c\u200f") == "ایک گیند"
    assert clean("می\u200cرود") == "می\u200cرود"
    assert clean("क्\u200dष") == "क्\u200dष"
    assert clean("a \u200e(b)\u200e c") == "a \u200e(b)\u200e c"
    assert clean(unicodedata.normalize("NFD", "étang آب")) == "étang آب"
    assert clean(None) == ""


def test_tables_are_matched_by_place_by_relative_path_and_by_name(tmp_path: Path) -> None:
    root = tmp_path / "footage"
    common = {"caption_ur": "", "license": ""}
    rows = [
        {"video_path": "footage/a/x.mp4", "Caption": "by place", "caption_ur": "ایک منظر", "caption_id": "17",
         "license": "CC0"},
        {"video_path": "b/x.mp4", "Caption": "by relative path", "caption_id": "18", **common},
        {"video_path": "elsewhere/Only.MP4", "Caption": "by name", "caption_id": "19", **common},
        {"video_path": "gone.mp4", "Caption": "of no video", "caption_id": "20", **common},
    ]  # fmt: skip
    table = read_table(write_table(tmp_path / "t.csv", rows))
    for video, caption in (("a/x.mp4", "by place"), ("b/x.mp4", "by relative path"), ("c/only.mp4", "by name")):
        assert table.find(root / video, root).captions["en"] == caption
    assert table.find(root / "a/x.mp4", root).captions["ur"] == "ایک منظر"
    assert set(table.find(root / "a/x.mp4", root).captions) == {"en", "ur"}
    assert table.find(root / "a/x.mp4", root).licence == "CC0"
    assert table.find(root / "c/x.mp4", root).captions == {}  # two rows have that name: neither is guessed
    assert table.unmatched([(root / name, root) for name in ("a/x.mp4", "b/x.mp4", "c/only.mp4")]) == ["gone.mp4"]


def test_jsonl_side_files_and_named_columns(tmp_path: Path) -> None:
    lines = [
        {"file_name": "a.mp4", "text": "une balle", "language": "French"},
        {"file_name": "b.mp4", "text": {"en": "a ball", "ar": "كرة"}},
    ]
    table = read_text(tmp_path / "t.jsonl", "\n".join(json.dumps(line) for line in lines))
    assert captions(table, tmp_path / "a.mp4") == {"fr": "une balle"}
    assert captions(table, tmp_path / "b.mp4") == {"en": "a ball", "ar": "كرة"}
    rows = [{"wo": "a.mp4", "was": "a ball", "was_ur": "گیند", "note": "no"}]
    named = read_table(write_table(tmp_path / "n.csv", rows), path_column="wo", caption_column="was")
    assert captions(named, tmp_path / "a.mp4") == {"en": "a ball", "ur": "گیند"}
    video = tmp_path / "a[1].v2.mp4"
    (tmp_path / "a[1].v2.txt").write_text("لڑکا دوڑ رہا ہے", encoding="utf-8")
    (tmp_path / "a[1].v2.zh.txt").write_text("跑", encoding="utf-8")
    (tmp_path / "a[1].v2.mp4.hi.TXT").write_text("दौड़", encoding="utf-8")
    (tmp_path / "a[1].txt").write_text("of another video", encoding="utf-8")
    entry = captions_for(video, tmp_path, CaptionTable(), texts_beside([video]))
    assert entry.captions == {"ur": "لڑکا دوڑ رہا ہے", "zh": "跑", "hi": "दौड़"}


def test_decomposed_and_composed_names_are_one_name(tmp_path: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "Réveil_مَنظَرآ") for form in ("NFC", "NFD"))
    assert nfc != nfd
    table = read_table(write_table(tmp_path / "t.csv", [{"path": f"sub/{nfc}.mp4", "caption": "a clock"}]))
    video = tmp_path / "sub" / f"{nfd}.mp4"
    video.parent.mkdir()
    assert table.find(video, tmp_path).captions == {"en": "a clock"}
    assert table.find(tmp_path / "other" / f"{nfd}.mp4", tmp_path / "other").captions == {"en": "a clock"}
    (video.parent / f"{nfc}.ur.txt").write_text("گھڑی", encoding="utf-8")
    entry = captions_for(video, tmp_path, table, texts_beside([video]))
    assert entry.captions == {"en": "a clock", "ur": "گھڑی"}


@pytest.mark.parametrize(
    ("name", "encoding", "text"),
    [
        ("semicolon.csv", "utf-8-sig", 'Path;Caption;Urdu\r\na.mp4;"a, b; c";گیند\r\n'),
        ("sep.csv", "utf-8", 'sep=;\nPath;Caption;caption (ur)\na.mp4;"a, b; c";گیند\n'),
        ("excel.csv", "utf-16", "path\tcaption\tcaption-ur-PK\r\na.mp4\ta, b; c\tگیند\r\n"),
        ("tabs.tsv", "utf-16", "path\tcaption\tUrdu caption\r\na.mp4\ta, b; c\tگیند\r\n"),
        ("mac.csv", "utf-8", 'path,caption,caption ur\ra.mp4,"a, b;\rc",گیند\r'),
        ("pipe.csv", "utf-8", "path|caption|caption_urdu\na.mp4|a, b; c|گیند\n"),
        ("unquoted.csv", "utf-8", "path,caption_ur,caption\na.mp4,گیند,a, b; c\n"),
        ("padded.csv", "utf-8", 'path,caption,caption_ur\na.mp4,"a, b; c",گیند,,\n'),
        ("map.json", "utf-8", '{"a.mp4": {"en": "a, b; c", "Urdu": "گیند"}}'),
        ("map16.json", "utf-16", '{"a.mp4": ["a, b; c", "گیند"], "b.mp4": "other"}'),
        ("rows.json", "utf-8", '{"info": {}, "videos": [{"file_name": "a.mp4", "captions": [{"caption": "a, b; c"}, '
                               '{"language": "ur", "caption": "گیند"}]}]}'),
        ("one.json", "utf-8", '{"path": "a.mp4", "caption": "a, b; c", "ur": "گیند"}'),
        ("keyed.json", "utf-8", '{"a.mp4": {"caption": "a, b; c", "caption_ur": "گیند", "licence": "CC0"}}'),
    ],
)  # fmt: skip
def test_every_form_of_table_says_the_same(tmp_path: Path, name: str, encoding: str, text: str) -> None:
    table = read_text(tmp_path / name, text, encoding)
    assert captions(table, tmp_path / "a.mp4") == {"en": "a, b; c", "ur": "گیند"}


def test_of_several_captions_in_one_language_the_first_stays_and_the_rest_are_counted(tmp_path: Path) -> None:
    rows = [{"path": "a.mp4", "caption": ["a ball", "a red ball", "گیند"]}, {"path": "a.mp4", "caption": "the ball"}]
    table = read_text(tmp_path / "t.json", json.dumps(rows))
    assert captions(table, tmp_path / "a.mp4") == {"en": "a ball", "ur": "گیند"}
    assert table.passed_over == 2


def test_bad_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no caption column .*; the columns are file, size"):
        read_table(write_table(tmp_path / "a.csv", [{"file": "a.mp4", "size": "3"}]))
    with pytest.raises(DataError, match=r'no path column \("wo"\)'):
        read_table(write_table(tmp_path / "b.csv", [{"file": "a.mp4", "text": "x"}]), path_column="wo")
    with pytest.raises(DataError, match=r"c.jsonl, line 2: not JSON"):
        read_text(tmp_path / "c.jsonl", '{"file": "a.mp4", "text": "x"}\n{"file": ')
    with pytest.raises(DataError, match="not UTF-8"):
        read_text(tmp_path / "d.csv", "file,text\na.mp4,é", "latin-1")
    with pytest.raises(DataError, match="zero byte"):
        read_text(tmp_path / "d16.csv", "file,text\na.mp4,x", "utf-16-le")
    with pytest.raises(UsageError, match=r'unknown kind of table ".xlsx"'):
        read_text(tmp_path / "e.xlsx", "x")
    with pytest.raises(DataError, match=r"line 3: more cells than columns, beginning with .CC0."):
        read_text(tmp_path / "f.csv", "file,text,licence\na.mp4,x,CC0\nb.mp4,a ball, red,CC0")
    with pytest.raises(DataError, match=r"the row from line 3 on: unexpected end of data; check its quotation marks"):
        read_text(tmp_path / "g.csv", 'file,text\na.mp4,x\nb.mp4,"a ball\nc.mp4,y\n')
    with pytest.raises(DataError, match="has no rows"):
        read_text(tmp_path / "h.csv", "file,text\n")


def clip(number: int, said: dict[str, str]) -> Clip:
    return Clip(f"id{number}", f"clips/id{number}.mp4", f"film{number // 2}.mp4", 0, 1, 64, 64, 8, 8, captions=said)


def test_the_report_says_what_is_missing() -> None:
    said: Sequence[dict[str, str]] = [{"en": "a ball", "ur": "گیند"}, {"en": "a box"}, {}, {"en": ""}, {"ur": "a cat"}]
    report = missing([clip(number, each) for number, each in enumerate(said)])
    assert (report.clips, report.languages, report.missing) == (5, {"en": 2, "ur": 2}, {"en": 3, "ur": 3})
    assert (report.silent, report.silent_sources) == (2, ("film1.mp4",))
    assert [(odd.clip, odd.stated, odd.found) for odd in report.contradictions] == [("id4", "ur", "en")]
    assert report.lines() == [
        "English (en): 2 of 5 clips, 3 without",
        "Urdu (ur): 2 of 5 clips, 3 without",
        "without any caption: 2 of 5 clips, for example of film1.mp4",
        'film2.mp4: filed as Urdu, reads as English: "a cat"',
    ]
    many = missing([clip(number, {"zh": "no"}) for number in range(12)])
    assert (many.contradicted, len(many.contradictions)) == (12, 10)
    assert many.lines()[-1] == "… and 2 more filed under a wrong language"


@needs_clips
def test_the_footage_manifest_reads_as_it_is() -> None:
    folder = CLIPS / "good" / "droid"
    video = sorted(folder.iterdir())[0]
    table = read_table(CLIPS / "MANIFEST.csv")
    entry = table.find(video, folder)
    assert entry.captions["en"].startswith("Robot-arm manipulation, scene type Bathroom")
    assert entry.licence.startswith("CC BY 4.0")
    assert set().union(*(found.captions for found in table.by_path.values())) == {"en"}
