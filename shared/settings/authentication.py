"""How the app authenticates to a service: `{DicomWeb,Fhir}__Authentication__*`, with DICOM Cast's names and meanings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shared.settings.readers import FaultError, boolean, optional, text, token_url
from shared.settings.setting import Setting, read_rows


class AuthenticationType(StrEnum):
    """The three of DICOM Cast, and HTTP Basic (RFC 7617)."""

    MANAGED_IDENTITY = "ManagedIdentity"
    CLIENT_CREDENTIAL = "OAuth2ClientCredential"
    USER_PASSWORD_CREDENTIAL = "OAuth2UserPasswordCredential"  # noqa: S105 a name
    BASIC = "Basic"


@dataclass(frozen=True, slots=True)
class Authentication:
    """What the app asks for a token with; for `Basic`, what each request carries.

    `resource` is the token's audience; None means the usual one of the service. The representation leaves out secrets,
    so that no traceback or log shows them.
    """

    kind: AuthenticationType
    resource: str | None = None
    client_id: str | None = None
    token_uri: str | None = None
    scope: str | None = None
    username: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


def _username(value: str) -> str:
    if ":" in value:
        raise FaultError("a name without a colon is expected: HTTP Basic ends the name there")
    return value


def _kind(value: str) -> AuthenticationType:
    for kind in AuthenticationType:
        if kind.lower() == value.lower():
            return kind
    raise FaultError(f"one of {', '.join(AuthenticationType)} is expected")


# ruff: noqa: E501  one row per line, as in docs/configuration.md
# fmt: off
SWITCHES: tuple[Setting, ...] = (
    Setting("Authentication__Enabled",            "enabled", boolean, "false",           "`true`: the app sends a token, or with `Basic` a password"),
    Setting("Authentication__AuthenticationType", "kind",    _kind,   "ManagedIdentity", "or `OAuth2ClientCredential`, `OAuth2UserPasswordCredential`, `Basic`"),
)
CREDENTIALS: Mapping[AuthenticationType, tuple[Setting, ...]] = {
    AuthenticationType.MANAGED_IDENTITY: (
        Setting("Authentication__ManagedIdentityCredential__Resource", "resource",  optional(text), "", "the token's audience, where it is not the FHIR endpoint or `https://dicom.healthcareapis.azure.com`"),
        Setting("Authentication__ManagedIdentityCredential__ClientId", "client_id", optional(text), "", "client id of a user-assigned identity; empty: the system-assigned one, or who is signed in to the Azure CLI"),
    ),
    AuthenticationType.CLIENT_CREDENTIAL: (
        Setting("Authentication__OAuth2ClientCredential__TokenUri",     "token_uri",     token_url,      None, "URL of the token endpoint"),
        Setting("Authentication__OAuth2ClientCredential__ClientId",     "client_id",     text,           None, "the app's id there"),
        Setting("Authentication__OAuth2ClientCredential__ClientSecret", "client_secret", text,           None, "its secret; best a Key Vault reference", secret=True),
        Setting("Authentication__OAuth2ClientCredential__Resource",     "resource",      optional(text), "",   "sent as `resource` if given"),
        Setting("Authentication__OAuth2ClientCredential__Scope",        "scope",         optional(text), "",   "sent as `scope` if given"),
    ),
    AuthenticationType.USER_PASSWORD_CREDENTIAL: (
        Setting("Authentication__OAuth2UserPasswordCredential__TokenUri",     "token_uri",     token_url,      None, "URL of the token endpoint"),
        Setting("Authentication__OAuth2UserPasswordCredential__ClientId",     "client_id",     text,           None, "the app's id there"),
        Setting("Authentication__OAuth2UserPasswordCredential__ClientSecret", "client_secret", optional(text), "",   "its secret, where it has one", secret=True),
        Setting("Authentication__OAuth2UserPasswordCredential__Username",     "username",      text,           None, "the user's name"),
        Setting("Authentication__OAuth2UserPasswordCredential__Password",     "password",      text,           None, "the user's password; best a Key Vault reference", secret=True),
        Setting("Authentication__OAuth2UserPasswordCredential__Resource",     "resource",      optional(text), "",   "sent as `resource` if given"),
        Setting("Authentication__OAuth2UserPasswordCredential__Scope",        "scope",         optional(text), "",   "sent as `scope` if given"),
    ),
    AuthenticationType.BASIC: (
        Setting("Authentication__BasicCredential__Username", "username", _username, None, "the user's name"),
        Setting("Authentication__BasicCredential__Password", "password", text,      None, "the user's password, sent with each request; best a Key Vault reference", secret=True),
    ),
}
# fmt: on


def read_authentication(service: str, given: Mapping[str, str]) -> tuple[Authentication | None, list[str]]:
    """The record, which is None if neither token nor password is to be sent, and all faults.

    `service` is `DicomWeb` or `Fhir`. Only the settings of the chosen kind are read.
    """
    switches, faults = read_rows(SWITCHES, given, f"{service}__")
    if faults or not switches["enabled"]:
        return None, faults
    values, faults = read_rows(CREDENTIALS[switches["kind"]], given, f"{service}__")
    return (None, faults) if faults else (Authentication(switches["kind"], **values), [])


def shown_authentication(service: str, given: Mapping[str, str]) -> dict[str, str]:
    """The settings of the chosen kind without secrets; only the switch if authentication is off."""
    prefix = f"{service}__"
    authentication, _ = read_authentication(service, given)
    rows = (*SWITCHES, *CREDENTIALS[authentication.kind]) if authentication else SWITCHES[:1]
    return {prefix + row.name: row.shown(given, prefix) for row in rows}
