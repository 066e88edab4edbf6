#!/usr/bin/env python3
"""The second implementation of postern/1 sections A2 to A6, for the vectors in this folder.

    python3 -m venv /tmp/vectors && /tmp/vectors/bin/pip install -r requirements.txt
    /tmp/vectors/bin/python crosscheck.py            # recompute everything and compare with the files
    /tmp/vectors/bin/python crosscheck.py --write    # write the files anew

It shares nothing with the crate: CBOR by cbor2, hashes, HKDF and Ed25519 by cryptography. The crate's own test
(`vectors/main.rs`) reads the same files.
"""

import hashlib
import json
import pathlib
import struct
import sys

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = pathlib.Path(__file__).parent
LABEL = b"EXPORTER-postern-v1-bind"


def cbor(value):
    return cbor2.dumps(value, canonical=True)


def lp(data):
    return struct.pack(">I", len(data)) + data


def pattern(seed, length):
    """Bytes that are easy to recognise and differ from field to field."""
    return hashlib.shake_256(b"postern vector " + seed.encode()).digest(length)


def report_data(claims):
    return hashlib.sha512(b"postern/1 report-data\0" + lp(claims)).digest()


def tpm_extra(data):
    return hashlib.sha256(b"postern/1 tpm-extra\0" + data).digest()


def keyset_cases():
    sbk = Ed25519PrivateKey.from_private_bytes(pattern("sbk", 32)).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    first = {1: 1, 2: 1800000000, 3: [[pattern("spki", 32), ["gateway.example"]]], 5: ["Ed25519", sbk]}
    full = {
        1: 4294967296,
        2: 1800003600,
        3: [[pattern("spki", 32), ["gateway.example", "localhost"]], [pattern("spki 2", 32), []]],
        4: pattern("ohttp", 41),
        5: ["Ed25519", sbk],
        6: ["Ed25519", pattern("rck", 32)],
        7: pattern("prv", 1216),
    }
    return {"one TLS key, channel T only": first, "every key": full}


def claims_cases():
    keysets = {name: hashlib.sha384(cbor(value)).digest() for name, value in keyset_cases().items()}
    base = {
        1: 1,
        2: 0,
        3: 1,
        4: pattern("nonce", 32),
        6: keysets["one TLS key, channel T only"],
        7: hashlib.sha384(b'{"content_logging":false}').digest(),
        8: bytes(32),
        9: pattern("instance", 16),
        11: ["T"],
        12: [1, 1],
        13: None,
        14: None,
        15: 0,
    }
    session = {**base, 3: 2, 5: pattern("session", 32), 2: 2}
    epoch = {key: value for key, value in base.items() if key != 4}
    epoch.update({
        3: 0,
        10: [pattern("chain", 32), 5000000000, pattern("beacon", 32)],
        6: keysets["every key"],
        8: pattern("deployment", 32),
        11: ["E", "T"],
        12: [1, 2],
        13: [1234567, pattern("root", 32)],
        14: pattern("gpu", 32),
        15: 1,
    })
    extended = {**base, 1000: {"note": [1, 2, 3]}, 70000: b"ignored"}
    return {"challenge": base, "session": session, "epoch with everything": epoch, "with extensions": extended}


def hkdf_expand_label(algorithm, secret, label, context, length):
    full = b"tls13 " + label
    info = struct.pack(">HB", length, len(full)) + full + struct.pack(">B", len(context)) + context
    return HKDFExpand(algorithm=algorithm, length=length, info=info).derive(secret)


def tls_exporter(algorithm, exporter_secret, label, context, length):
    """RFC 8446 section 7.5."""

    def digest(data):
        hasher = hashes.Hash(algorithm)
        hasher.update(data)
        return hasher.finalize()

    derived = hkdf_expand_label(algorithm, exporter_secret, label, digest(b""), algorithm.digest_size)
    return hkdf_expand_label(algorithm, derived, b"exporter", digest(context), length)


def binding_cases():
    suites = {"TLS_AES_128_GCM_SHA256": hashes.SHA256(), "TLS_AES_256_GCM_SHA384": hashes.SHA384()}
    for suite, algorithm in suites.items():
        for role, alpn in ((0, b"h2"), (0, b"http/1.1"), (1, b"postern-peer/1"), (3, b"postern-prov/1")):
            yield suite, algorithm, role, alpn


def binding():
    key = Ed25519PrivateKey.from_private_bytes(pattern("sbk", 32))
    keyset_digest = hashlib.sha384(cbor(keyset_cases()["one TLS key, channel T only"])).digest()
    claims_digest = hashlib.sha384(cbor(claims_cases()["challenge"])).digest()
    nonce, spki = pattern("bind nonce", 32), pattern("spki", 32)
    vectors = []
    for suite, algorithm, role, alpn in binding_cases():
        secret = pattern("exporter " + suite, algorithm.digest_size)
        context = hashlib.sha256(bytes([role]) + lp(alpn) + nonce + keyset_digest).digest()
        ekm = tls_exporter(algorithm, secret, LABEL, context, 32)
        parts = (bytes([role]), nonce, ekm, claims_digest, spki)
        transcript = b"postern/1 session-bind\0" + b"".join(lp(part) for part in parts)
        vectors.append({
            "suite": suite,
            "exporter_secret": secret.hex(),
            "role": role,
            "alpn": alpn.decode(),
            "nonce": nonce.hex(),
            "keyset_digest": keyset_digest.hex(),
            "exporter_context": context.hex(),
            "ekm": ekm.hex(),
            "claims_sha384": claims_digest.hex(),
            "spki_sha256": spki.hex(),
            "transcript": transcript.hex(),
            "sbk_seed": pattern("sbk", 32).hex(),
            "sbk_public": key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex(),
            "signature": key.sign(transcript).hex(),
        })
    return vectors


def messages():
    nonce, claims = pattern("bind nonce", 32), pattern("claims", 48)
    return [
        {"message": "challenge request", "bytes": cbor({1: nonce}).hex()},
        {"message": "bind request", "bytes": cbor({1: nonce, 3: claims}).hex()},
        {"message": "bind request for hardware", "bytes": cbor({1: nonce, 2: True, 3: claims}).hex()},
        {"message": "bind response", "bytes": cbor({1: pattern("signature", 64)}).hex()},
        {"message": "bind response with evidence", "bytes": cbor({2: pattern("document", 300)}).hex()},
    ]


def document():
    """An RFC 9999 CMW collection with made-up content."""
    kind = "application/vnd.postern."
    endorsements = cbor({1: [pattern("vcek", 40), pattern("ask", 40)], 2: [pattern("crl", 40)]})
    members = {
        "cpu": [kind + "snp-report", pattern("report", 1184), 4],
        "claims": [kind + "claims+cbor", cbor(claims_cases()["challenge"]), 4],
        "keyset": [kind + "keyset+cbor", cbor(keyset_cases()["one TLS key, channel T only"]), 4],
        "endorsements": [kind + "endorsements+cbor", endorsements, 2],
    }
    return {"document": cbor(members).hex(), "endorsements": endorsements.hex()}


def files():
    claims = [
        {
            "name": name,
            "claims": (data := cbor(value)).hex(),
            "claims_sha384": hashlib.sha384(data).hexdigest(),
            "report_data": report_data(data).hex(),
            "tpm_extra_data": tpm_extra(report_data(data)).hex(),
        }
        for name, value in claims_cases().items()
    ]
    keysets = [
        {"name": name, "keyset": (data := cbor(value)).hex(), "digest": hashlib.sha384(data).hexdigest()}
        for name, value in keyset_cases().items()
    ]
    return {
        "claims.json": claims,
        "keyset.json": keysets,
        "binding.json": binding(),
        "messages.json": messages(),
        "document.json": document(),
    }


def main():
    write = sys.argv[1:] == ["--write"]
    wrong = []
    for name, vectors in files().items():
        text = json.dumps(vectors, indent=2) + "\n"
        path = HERE / name
        if write:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            wrong.append(name)
    if wrong:
        sys.exit(f"differ from this implementation: {', '.join(wrong)}")
    print("written" if write else "every vector agrees")


if __name__ == "__main__":
    main()
