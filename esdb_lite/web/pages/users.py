"""The page about users and access: who there is, and who may do what where nothing else is said.

Owns: what is read for it, what is done to users. Must not know: how the page looks.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from esdb_lite import AccessDenied, InvalidArgument, NotSupported, StreamAcl
from esdb_lite.web.asking import Asked
from esdb_lite.web.visit import Visit

RIGHTS = ("read", "write", "delete", "meta_read", "meta_write")


async def users(visit: Visit) -> Response:
    """All users, and what applies to streams that say nothing."""
    try:
        found = await visit.client.list_users(**visit.options)
    except NotSupported:
        return visit.render("users.html", users=None, access=None, rights=RIGHTS)
    try:
        default = await visit.client.get_default_access(**visit.options)
        access = [("streams", default.user_streams, "all users"), ("$ streams", default.system_streams, "$admins")]
    except AccessDenied:
        access = None
    return visit.render("users.html", users=found, access=access, rights=RIGHTS, names=roles)


async def user(visit: Visit) -> Response:
    """One user, and what can be done about it."""
    found = await visit.client.get_user(visit.query.required("login"), **visit.options)
    return visit.render("user.html", user=found)


async def create(visit: Visit) -> Response:
    """Make a user."""
    login = visit.form.required("login").strip()
    await visit.client.create_user(
        login,
        _new_password(visit.form),
        full_name=visit.form.text("full_name"),
        groups=_groups(visit.form),
        **visit.options,
    )
    return visit.go(visit.to.page("users"))


async def change(visit: Visit) -> Response:
    """Lock a user out, let a user in again, replace a password, delete a user."""
    login, form, client, options = visit.form.required("login"), visit.form, visit.client, visit.options
    done = await visit.act(
        {
            "disable": lambda: client.disable_user(login, **options),
            "enable": lambda: client.enable_user(login, **options),
            "password": lambda: client.reset_password(login, _new_password(form), **options),
            "groups": lambda: client.update_user(
                login, full_name=form.text("full_name"), groups=_groups(form), **options
            ),
            "delete": lambda: client.delete_user(login, **options),
        },
        sure={"delete": "a user who is deleted is gone"},
    )
    return visit.go(visit.to.page("users") if done == "delete" else visit.to.user(login))


def roles(acl: StreamAcl, right: str, default: str) -> str:
    """Who has a right, in words; `default`: who has it where the list does not say it."""
    names: Sequence[str] | None = getattr(acl, right)
    return default if names is None else ", ".join(names) or "$admins"


def _groups(form: Asked) -> list[str]:
    return [name for name in form.text("groups").replace(",", " ").split() if name]


def _new_password(form: Asked) -> str:
    password = form.exactly("password")
    if not password:
        raise InvalidArgument("password", "", "must not be empty")
    return password
