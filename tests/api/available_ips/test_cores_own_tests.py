"""Nautobot's own tests of the endpoint pass as they are: with the setting on, and off."""

import inspect
from concurrent.futures import ThreadPoolExecutor
from random import shuffle

from nautobot.apps.testing import APITransactionTestCase
from nautobot.extras.models import ObjectChange, Status
from nautobot.ipam.models import RIR, IPAddress, Namespace, Prefix
from nautobot.ipam.tests import test_api
from nautobot.users.models import Token, User

from tests.api.available_ips.serving import serving

NAME = "available-ips"


def only_about_the_endpoint(case):
    """The same test case without the tests that do not name the URL."""
    for name in dir(case):
        if name.startswith("test_") and NAME not in inspect.getsource(getattr(case, name)):
            setattr(case, name, None)
    return case


class InAnEmptyDatabase:
    """Core's tests expect the data that Nautobot's own test runner makes."""

    @classmethod
    def setUpTestData(cls):
        RIR.objects.create(name="public")
        namespace, _ = Namespace.objects.get_or_create(name="Global")
        Prefix.objects.create(
            prefix="203.0.113.0/24", namespace=namespace, status=Status.objects.get_for_model(Prefix).first()
        )
        super().setUpTestData()


@only_about_the_endpoint
@serving()
class CoresTests(InAnEmptyDatabase, test_api.PrefixTest):
    pass


@only_about_the_endpoint
class CoresTestsWhileOff(InAnEmptyDatabase, test_api.PrefixTest):
    pass


@only_about_the_endpoint
@serving()
class CoresParallelTest(test_api.ParallelPrefixTest):
    """With each request's result asked for, which core's helper does not."""

    def _do_parallel_requests(self, url, requests):
        shuffle(requests)
        with ThreadPoolExecutor(max_workers=len(requests)) as executor:
            futures = [executor.submit(self._threaded_post, url, request) for request in requests]
            for future in futures:
                future.result()

    def _fixture_teardown(self):
        """Delete what the test made, instead of flushing the database that all tests share."""
        IPAddress.objects.filter(parent__namespace__name="Turtles").delete()
        Prefix.objects.filter(namespace__name="Turtles").delete()
        Namespace.objects.filter(name="Turtles").delete()
        ObjectChange.objects.all().delete()
        Token.objects.all().delete()
        User.objects.all().delete()


def test_there_are_as_many_as_core_has():
    names = {name for name in dir(CoresTests) if name.startswith("test_") and getattr(CoresTests, name)}
    assert len(names) >= 22
    assert issubclass(CoresParallelTest, APITransactionTestCase)
