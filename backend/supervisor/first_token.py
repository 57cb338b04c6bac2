"""The token of an account that a new stack has made itself: by password, kept in the state folder.

Killed on the way, it may have made a token that nobody knows; that one is revoked the next time, a person's never.
"""

from backend.core.errors import BadInputError, LabelStudioError
from backend.core.settings import Settings
from backend.labelstudio.account import Account
from backend.supervisor.state import TOKEN, StateFolder

ASKED = "token-asked"  # the file that says that a token is being made


def ensure_token(folder: StateFolder, settings: Settings) -> None:
    """Have a token in the settings that Label Studio accepts: the present one, or a new one.

    Raises:
        BadInputError: there is neither a token nor a password.
        LabelStudioError: the account has a token already, or does not log in.
    """
    present, password = (
        settings.label_studio_token.get_secret_value(),
        settings.label_studio_password.get_secret_value(),
    )
    account = Account(settings.label_studio_url.rstrip("/"), settings.label_studio_email, password)
    if present and account.accepts(present):
        return
    if not password:
        raise BadInputError("PRELABEL_LABEL_STUDIO_PASSWORD must be set where no token works, is empty")
    asked = folder.run / ASKED
    with account.logged_in() as session:
        if asked.exists():
            session.revoke_tokens()
        elif session.has_tokens():
            raise LabelStudioError(
                f"{account.email} must have no personal access token that prelabel does not know, but has one: set "
                "PRELABEL_LABEL_STUDIO_TOKEN to it, or revoke it in Account & Settings"
            )
        asked.touch()
        folder.remember({TOKEN: session.make_token()})
    asked.unlink()
