"""Throw-away certificates for servers on loopback, made with openssl: an authority, what it has signed, and a stranger's.

The server's certificate holds for the address 127.0.0.1 and for no name, so that `localhost` is a wrong host.
"""

import subprocess

DAYS = "30"
BROKER = "subjectAltName=IP:127.0.0.1"


def make(folder):
    """Writes ca.pem, broker.pem, client.pem and client.key, and stranger-*.pem|key of an authority that nobody trusts."""
    if (folder / "done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for prefix in ("", "stranger-"):
        _authority(folder, f"{prefix}ca")
        _signed(folder, f"{prefix}client", f"{prefix}ca")
    _signed(folder, "broker", "ca", BROKER)
    # Kafka wants the key and the chain in one file.
    (folder / "broker.pem").write_text("".join((folder / name).read_text() for name in ("broker.key", "broker.pem", "ca.pem")))
    (folder / "broker.pem").chmod(0o600)
    (folder / "done").touch()


def _authority(folder, name):
    _openssl(folder, "req", "-x509", *_new_key(name), "-subj", f"/CN={name}", "-days", DAYS, "-out", f"{name}.pem")


def _signed(folder, name, authority, extension=None):
    _openssl(folder, "req", *_new_key(name), "-subj", f"/CN={name}", "-out", f"{name}.csr")
    (folder / f"{name}.ext").write_text(f"{extension or 'basicConstraints=CA:FALSE'}\n")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
             "-CAcreateserial", "-days", DAYS, "-extfile", f"{name}.ext", "-out", f"{name}.pem")


def _new_key(name):
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"]


def _openssl(folder, *arguments):
    try:
        done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        raise SystemExit("openssl not found: run scripts/setup") from None
    if done.returncode:
        raise SystemExit(f"openssl {arguments[0]} failed:\n{done.stderr}")
