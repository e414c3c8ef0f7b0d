"""`flashsale pass`: passes for tests, signed as a shop's server signs them."""

import json
import subprocess
import warnings
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from tests.processes import run

SECRET = "a secret of the shop, long enough"


def make(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    changed = {f"FLASHSALE_{key.upper()}": value for key, value in settings.items()}
    return run(["flashsale", "pass", *arguments], changed)


def refused(*arguments: str, **settings: str) -> str:
    """The one line of a command that is refused."""
    result = make(*arguments, **settings)
    assert result.returncode != 0, result.stdout
    assert "Traceback" not in result.stderr
    return result.stderr


def test_passes_are_signed_by_the_secret_and_each_has_an_id() -> None:
    result = make("tv", "--count", "3", "--expires-in", "60", jwt_secret=SECRET)
    assert result.returncode == 0, result.stderr
    key = OctKey.import_key(SECRET)
    claims = [jwt.decode(line, key).claims for line in result.stdout.splitlines()]
    assert len({claimed["jti"] for claimed in claims}) == 3
    assert all(claimed.keys() == {"aud", "exp", "jti"} for claimed in claims)
    assert {claimed["aud"] for claimed in claims} == {"tv"}


def test_a_pass_may_be_for_a_customer_and_a_quantity() -> None:
    result = make(
        *("tv", "--customer", " alice ", "--max-quantity", "2", "--json"),
        jwt_secret=SECRET,
        jwt_issuer="shop",
    )
    [made] = json.loads(result.stdout)
    claims = jwt.decode(made.pop("pass"), OctKey.import_key(SECRET)).claims
    assert made == claims
    assert (claims["sub"], claims["max_quantity"], claims["iss"]) == ("alice", 2, "shop")


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSAKey.generate_key(2048), "RS256"),
        (ECKey.generate_key("P-256"), "ES256"),
        (OKPKey.generate_key("Ed25519"), "EdDSA"),
    ],
)
def test_a_pass_is_signed_by_a_private_key(
    tmp_path: Path, key: RSAKey | ECKey | OKPKey, algorithm: str
) -> None:
    pem, jwk, public = (tmp_path / name for name in ("key.pem", "key.json", "public.pem"))
    pem.write_bytes(key.as_pem(private=True))
    jwk.write_text(json.dumps(key.as_dict(private=True, kid="k")))
    public.write_bytes(key.as_pem(private=False))
    settings = {"jwks_url": "https://login.example/keys"}
    for arguments in (("--key", str(pem), "--kid", "k"), ("--key", str(jwk))):
        result = make("tv", *arguments, **settings)
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
        with warnings.catch_warnings(action="ignore"):  # EdDSA has another name by now
            made = jwt.decode(result.stdout.strip(), key, algorithms=[algorithm])
        assert (made.header["alg"], made.header["kid"]) == (algorithm, "k")
    assert "a private key signs" in refused("tv", "--key", str(public), **settings)


def test_what_can_not_be_signed_is_one_clear_line(tmp_path: Path) -> None:
    assert "set FLASHSALE_JWT_SECRET" in refused("tv")
    assert "not a sku" in refused("a b", jwt_secret=SECRET)
    assert "No such file" in refused("tv", "--key", str(tmp_path / "none"), jwt_secret=SECRET)
    broken = tmp_path / "broken"
    for text in ("x", "{", "[]", '{"kty": "EC"}', "-----BEGIN PRIVATE KEY-----"):
        broken.write_text(text)
        line = refused("tv", "--key", str(broken), jwt_secret=SECRET)
        assert "neither a JWK nor a key in PEM" in line
    broken.write_bytes(ECKey.generate_key("P-256").as_pem(private=True))
    line = refused("tv", "--key", str(broken), jwt_secret=SECRET)
    assert "no algorithm in force signs by a key of its kind: HS256" in line
