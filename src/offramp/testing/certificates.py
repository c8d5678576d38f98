"""A certificate for a test's server, and the two ends that use it."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of TLS.

    Attributes:
        server: For the server: holds the certificate.
        client: For a client that trusts this certificate.
    """

    server: ssl.SSLContext
    client: ssl.SSLContext


def self_signed(*names: str, expired: bool = False) -> Ends:
    """Make a certificate that nobody else trusts.

    Args:
        names: Host names and addresses it is for.
        expired: Make it one whose time is over.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    until = now - _DAY if expired else now + _DAY
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "offramp test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _DAY)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([_named(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.set_alpn_protocols(["h2", "http/1.1"])
    with tempfile.TemporaryDirectory() as folder:
        # The standard library takes a private key from a file only.
        path = Path(folder) / "both.pem"
        path.write_bytes(private + public)
        server.load_cert_chain(path)
    client = ssl.create_default_context(cadata=public.decode())
    client.set_alpn_protocols(["http/1.1"])
    return Ends(server, client)


def _named(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
