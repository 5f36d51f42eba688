"""The page about users and access: who there is, and who may do what where nothing else is said.

Owns: what is read for it, what is done to users. Must not know: how the page looks.
"""

from __future__ import annotations

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
    login, action = visit.form.required("login"), visit.form.required("action")
    client = visit.client
    if action == "disable":
        await client.disable_user(login, **visit.options)
    elif action == "enable":
        await client.enable_user(login, **visit.options)
    elif action == "password":
        await client.reset_password(login, _new_password(visit.form), **visit.options)
    elif action == "groups":
        groups = _groups(visit.form)
        await client.update_user(login, full_name=visit.form.text("full_name"), groups=groups, **visit.options)
    elif action == "delete":
        if not visit.form.checked("sure"):
            raise InvalidArgument("sure", "", "must be ticked: a user who is deleted is gone")
        await client.delete_user(login, **visit.options)
        return visit.go(visit.to.page("users"))
    else:
        raise InvalidArgument("action", action, "is none that there is")
    return visit.go(visit.to.user(login))


def roles(acl: StreamAcl, right: str, default: str) -> str:
    """Who has a right, in words; `default`: who has it where the list does not say it."""
    names = {
        "read": acl.read,
        "write": acl.write,
        "delete": acl.delete,
        "meta_read": acl.meta_read,
        "meta_write": acl.meta_write,
    }[right]
    return default if names is None else ", ".join(names) or "$admins"


def _groups(form: Asked) -> list[str]:
    return [name for name in form.text("groups").replace(",", " ").split() if name]


def _new_password(form: Asked) -> str:
    password = form.exactly("password")
    if not password:
        raise InvalidArgument("password", "", "must not be empty")
    return password
