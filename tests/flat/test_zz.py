import pytest
from nautobot_pve_ipam import cursors, occupancy
from tests.flat import test_churn
pytestmark = pytest.mark.django_db
def test_lower_noop(admin, monkeypatch):
    monkeypatch.setattr(cursors, "lower", lambda *a: None)
    with pytest.raises(BaseException) as e: test_churn.test_the_lowest_free_address_all_along(admin, monkeypatch)
    print(repr(e.value)[:300])
def test_no_second_pass(admin, monkeypatch):
    real = occupancy.free_intervals
    def fake(prefix, first, last, **kw):
        if last - first < 126 and first % 128 == 1 and last % 128 not in (120,): pass
        return real(prefix, first, last, **kw)
    src = occupancy.Search._free_between
    def noback(self, first, last, exclude):
        c = occupancy.Cursor(self.prefix.pk, first, last, skip_ranges=not self.bounds)
        for iv in src(self, first, last, exclude):
            if iv[0] >= c.position: yield iv
    monkeypatch.setattr(occupancy.Search, "_free_between", noback)
    with pytest.raises(BaseException) as e: test_churn.test_the_lowest_free_address_all_along(admin, monkeypatch)
    print(repr(e.value)[:300])
def test_many(admin, monkeypatch):
    import hypothesis
    monkeypatch.setattr(test_churn, "settings", lambda **kw: hypothesis.settings(**{**kw, "max_examples": 150, "stateful_step_count": 40}))
    test_churn.test_the_lowest_free_address_all_along(admin, monkeypatch)
