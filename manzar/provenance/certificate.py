"""The certificate that films are signed with: made once, on this machine, without a network.

    FOLDER/root.pem     the root of trust; give it to whoever shall recognise your films
    FOLDER/chain.pem    the signer's certificate and the root
    FOLDER/signer.key   the signer's key, readable by its owner alone

The key of the root is thrown away once it has signed, so it cannot sign for anyone else. A certificate that a
recognised authority issued can take the place of these files.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

ROOT, CHAIN, KEY = "root.pem", "chain.pem", "signer.key"
VALID = timedelta(days=3650)
CLOCKS_DIFFER = timedelta(days=1)


class Certificate(NamedTuple):
    """PEM texts: the chain, the signer's first, and the signer's key."""

    chain: str
    key: bytes


def default_folder() -> Path:
    """Where a person's own certificate lies."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(data) / "manzar" / "certificate"


def load_or_make(folder: Path) -> Certificate:
    """The certificate in `folder`; made if there is no such folder. Several processes may do so at once.

    Raises OSError if it cannot be read or written, ModuleNotFoundError if it must be made without `cryptography`.
    """
    if not (folder / KEY).exists():
        _make(folder)
    return Certificate((folder / CHAIN).read_text(encoding="ascii"), (folder / KEY).read_bytes())


def root(folder: Path) -> str | None:
    """The root in `folder` as PEM; None if there is none that can be read."""
    try:
        return (folder / ROOT).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None


def _make(folder: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Manzar root", root_key, root_key, is_root=True)
    signer = _certificate("Manzar signer", key, root_key, is_root=False)
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))  # for its owner alone
    try:
        (made / ROOT).write_bytes(root.public_bytes(pem))
        (made / CHAIN).write_bytes(signer.public_bytes(pem) + root.public_bytes(pem))
        with open(os.open(made / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
        try:
            made.rename(folder)  # whole, or not at all; an empty folder in its place is no hindrance
        except OSError:
            if not (folder / KEY).exists():  # else another process was faster, and its certificate is as good
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, root_key: ec.EllipticCurvePrivateKey, *, is_root: bool
) -> x509.Certificate:
    """X.509 as C2PA asks for it: the signer's use is digital signatures, of documents or mail."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def called(common: str) -> x509.Name:
        parts = {NameOID.ORGANIZATION_NAME: "Manzar, self-made", NameOID.COMMON_NAME: common}
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts.items()])

    now = datetime.now(UTC)
    uses: dict[str, Any] = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False)  # fmt: skip
    uses |= {"digital_signature": not is_root, "key_cert_sign": is_root, "crl_sign": is_root}
    builder = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called("Manzar root"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**uses), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
    )
    if not is_root:
        mail = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(mail, critical=False)
    return builder.sign(root_key, hashes.SHA256())
