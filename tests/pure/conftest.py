"""No Django here: importing the App's package makes Nautobot set its settings, which pytest-django would then load."""

import os

from django.conf import settings

import nautobot_pve_ipam  # noqa: F401

if not settings.configured:
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)
