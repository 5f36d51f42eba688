"""The application in a project that Django has made, run by its commands."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("django")

from esdb_lite import EsdbClient, NewEvent
from tests.recipes.conftest import Start
from tests.recipes.page import files, write
from tests.support import PATIENCE

SETTINGS = """
import os
INSTALLED_APPS += ["shop"]
ALLOWED_HOSTS = ["testserver"]
ESDB_URI = os.environ["ESDB_URI"]
"""
ORDERS = """
from shop.models import Order
print(sorted(Order.objects.values_list("stream", "total", "paid")))
"""
VIEW = """
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from esdb_lite import NewEvent
from shop.esdb import client


def place(request: HttpRequest) -> HttpResponse:
    client.append_events("shop-3", None, NewEvent.json("OrderPlaced", {"total": 9}))
    return HttpResponse(status=201)


urlpatterns = [path("place", place)]
"""

Manage = Callable[..., str]


@pytest.fixture
def manage(tmp_path: Path, start: Start) -> Manage:
    """Runs a command of the project to its end."""
    write(tmp_path, *(name for name in files() if name.startswith("shop/")))
    ended(start("-m", "django", "startproject", "site_of_shop", "."))
    with (tmp_path / "site_of_shop" / "settings.py").open("a", encoding="utf-8") as settings:
        settings.write(SETTINGS)
    (tmp_path / "views.py").write_text(VIEW, "utf-8")

    def run(*arguments: str) -> str:
        return ended(start("manage.py", *arguments))

    run("makemigrations", "shop")
    run("migrate")
    return run


def ended(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    return said


@pytest.mark.slow
def test_orders(manage: Manage, start: Start, client: EsdbClient) -> None:
    placed, paid = NewEvent.json("OrderPlaced", {"total": 5}), NewEvent.json("OrderPaid", {})
    client.append_events("shop-1", None, [placed, paid])
    client.append_events("other-1", None, NewEvent.json("OrderPlaced", {"total": 6}))
    for arguments in ((), (), ("--rebuild",)):
        manage("follow_orders", "--once", *arguments)
        assert manage("shell", "-v", "0", "-c", ORDERS).strip() == "[('shop-1', 5, True)]"

    client.append_events("shop-2", None, NewEvent.json("OrderPlaced", {"total": "no number"}))
    failed = start("manage.py", "follow_orders", "--once")
    said, _ = failed.communicate(timeout=PATIENCE)
    assert failed.returncode == 1
    assert "ValueError" in said
    assert manage("shell", "-v", "0", "-c", ORDERS).strip() == "[('shop-1', 5, True)]"


@pytest.mark.slow
def test_a_service_and_a_view(manage: Manage, start: Start, client: EsdbClient) -> None:
    waiting = """
import time
from shop.models import Order
while not Order.objects.exists():
    time.sleep(0.01)
"""
    following = start("manage.py", "follow_orders")
    asking = "from views import *\nprint(override_settings(ROOT_URLCONF='views')(Client().get)('/place').status_code)"
    assert manage("shell", "-v", "0", "-c", asking).strip() == "201"
    manage("shell", "-v", "0", "-c", waiting)
    following.send_signal(signal.SIGTERM)
    ended(following)
    assert manage("shell", "-v", "0", "-c", ORDERS).strip() == "[('shop-3', 9, False)]"
