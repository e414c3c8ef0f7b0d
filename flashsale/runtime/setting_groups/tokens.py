"""The settings of tokens: who shoppers are, and by which keys tokens and passes are checked."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from flashsale.runtime.environment import PREFIX, FromEnvironment

SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The algorithms of a secret, and its least bytes for each (RFC 7518, 3.2)."""

KEY_SET_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
"""The algorithms of a set of public keys."""

_DEFAULT_OF_KEY_SETS = ("RS256", "ES256", "EdDSA")


def parse_algorithms(text: str) -> tuple[str, ...]:
    """Return the algorithms, between which are commas. Raises `ValueError`."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(","))) if text else ()
    allowed = (*SECRET_BYTES, *KEY_SET_ALGORITHMS)
    if not set(names) <= set(allowed):
        raise ValueError(f"must be some of {', '.join(allowed)}, with commas between")
    return names


def _valid_algorithms(text: str) -> str:
    parse_algorithms(text)
    return text


class TokenSettings(FromEnvironment):
    """The settings of tokens and passes. They are a part of `Settings`."""

    auth: Literal["none", "jwt"] = Field(
        "none",
        description="who a shopper is: `none` believes the `customer_id` of each order, so that"
        " anybody can order as anybody; `jwt` needs a bearer token, whose `sub` is the customer",
    )
    jwt_secret: SecretStr | None = Field(
        None,
        description="secret by which the shop signs tokens and passes (HS256); 32 bytes or more",
    )
    jwks_url: str | None = Field(
        None,
        pattern=r"^https?://[^/\s]+(/\S*)?$",
        description="address of the set of public keys (RFC 7517) of those who sign tokens and"
        " passes, such as `https://login.example/.well-known/jwks.json`",
    )
    jwt_issuer: str | None = Field(
        None, description="the `iss` that tokens and passes must have. Unset: any"
    )
    jwt_audience: str | None = Field(
        None,
        description="an `aud` that tokens must have. Unset: a token with an `aud` is refused",
    )
    jwt_algorithms: Annotated[str, AfterValidator(_valid_algorithms)] = Field(
        "",
        description="algorithms of tokens and passes, commas between. Unset: HS256 for the secret,"
        " and RS256, ES256 and EdDSA for the key set",
    )

    @property
    def checks_tokens(self) -> bool:
        """Whether there are keys by which tokens and passes can be checked."""
        return self.jwt_secret is not None or self.jwks_url is not None

    @property
    def token_algorithms(self) -> tuple[str, ...]:
        """The algorithms that count, each for one kind of key only."""
        named = parse_algorithms(self.jwt_algorithms)
        if named:
            return named
        of_secret = ("HS256",) if self.jwt_secret is not None else ()
        return of_secret + (_DEFAULT_OF_KEY_SETS if self.jwks_url is not None else ())

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if self.checks_tokens:
            self._require_algorithms()
        elif self.auth == "jwt":
            raise ValueError(
                f"{PREFIX}AUTH=jwt: set {PREFIX}JWT_SECRET or {PREFIX}JWKS_URL as well"
            )
        return self

    def _require_algorithms(self) -> None:
        """Raise `ValueError` unless each key has an algorithm, and each algorithm a key."""
        of_secret = [name for name in self.token_algorithms if name in SECRET_BYTES]
        of_key_set = [name for name in self.token_algorithms if name not in SECRET_BYTES]
        chosen = f"{PREFIX}JWT_ALGORITHMS={self.jwt_algorithms}"
        for given, names, key in (
            (self.jwt_secret is not None, of_secret, "JWT_SECRET"),
            (self.jwks_url is not None, of_key_set, "JWKS_URL"),
        ):
            if given and not names:
                raise ValueError(f"{chosen}: must have one for {PREFIX}{key}")
            if names and not given:
                raise ValueError(f"{chosen}: {names[0]} needs {PREFIX}{key}")
        if self.jwt_secret is not None:
            least = max(SECRET_BYTES[name] for name in of_secret)
            if len(self.jwt_secret.get_secret_value().encode()) < least:
                raise ValueError(
                    f"{PREFIX}JWT_SECRET=...: must have {least} bytes or more for"
                    f" {', '.join(of_secret)}"
                )
