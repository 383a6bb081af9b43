"""Nautobot's configuration for tests, demo and benchmarks, from the environment that `development.management` sets.

Nothing here calls out: no release check, no installation metrics, no telemetry.
"""

import json
import os
from urllib.parse import parse_qs, urlsplit

from nautobot.core.settings import *  # noqa: F403
from psycopg2.extensions import parse_dsn

_database = os.environ["NAUTOBOT_PVE_IPAM_DATABASE"]
_redis = os.environ["NAUTOBOT_PVE_IPAM_REDIS"]

METRICS_ENABLED = True
if _database.startswith("mysql:"):
    _url = urlsplit(_database)
    DATABASES = {
        "default": {
            "ENGINE": "django_prometheus.db.backends.mysql",
            "NAME": _url.path[1:],
            "USER": _url.username,
            "HOST": parse_qs(_url.query)["unix_socket"][0],
            "CONN_MAX_AGE": 300,
            "OPTIONS": {"charset": "utf8mb4"},
        }
    }
else:
    _dsn = parse_dsn(_database)
    DATABASES = {
        "default": {
            "ENGINE": "django_prometheus.db.backends.postgresql",
            "NAME": _dsn.pop("dbname"),
            "USER": _dsn.pop("user", ""),
            "PASSWORD": _dsn.pop("password", ""),
            "HOST": _dsn.pop("host", ""),
            "PORT": _dsn.pop("port", ""),
            "CONN_MAX_AGE": 300,
            "OPTIONS": _dsn,
        }
    }

# Several databases may share one Redis, which knows nothing of them: each has its own prefix there.
_prefix = DATABASES["default"]["NAME"]
CACHES = {
    "default": {
        "BACKEND": "django_prometheus.cache.backends.redis.RedisCache",
        "LOCATION": _redis,
        "KEY_PREFIX": _prefix,
        "TIMEOUT": 300,
        "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
    }
}

# No worker runs: what is enqueued (webhooks, jobs) waits in Redis and can be read there.
_redis_parts = urlsplit(_redis)
if _redis_parts.scheme == "unix":
    CELERY_BROKER_URL = (
        f"redis+socket://{_redis_parts.path}?virtual_host={parse_qs(_redis_parts.query).get('db', ['0'])[0]}"
    )
else:
    CELERY_BROKER_URL = _redis
CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": f"{_prefix}:"}

PLUGINS = os.environ.get("NAUTOBOT_PVE_IPAM_PLUGINS", "nautobot_pve_ipam").split()
PLUGINS_CONFIG = {"nautobot_pve_ipam": json.loads(os.environ.get("NAUTOBOT_PVE_IPAM_SETTINGS", "{}"))}
STATIC_ROOT = os.environ["NAUTOBOT_PVE_IPAM_STATIC_ROOT"]

# The demo listens on the loopback interface with the password "admin": there is nothing for a secret to protect.
SECRET_KEY = "for development on this machine only: " + "0" * 32
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "nautobot.example.com"]

INSTALLATION_METRICS_ENABLED = False
RELEASE_CHECK_URL = ""
OTEL_PYTHON_DJANGO_INSTRUMENT = False

# The only passwords here are "admin" and those of tests: a slow hash would protect nothing, and takes a third of a
# second for each user that a test makes.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
