"""The App's documentation: it renders, links work, Nautobot serves it, and it is correct."""

import json
import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from string import Template
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from nautobot.apps.models import PrimaryModel
from nautobot.apps.templatetags import get_docs_url

from development.docs import DOCS, build, sources
from development.paths import REPOSITORY
from nautobot_pve_ipam import errors, metrics, views
from nautobot_pve_ipam.api.next_free_ip import PreviewSerializer
from nautobot_pve_ipam.api.requests import AddressHookSerializer, AddressRequestSerializer, SubnetRequestSerializer
from nautobot_pve_ipam.permissions import HOOK_RIGHTS
from nautobot_pve_ipam.services import allocation
from tests.networks import Network

APP = "nautobot_pve_ipam"
MODELS = [model for model in apps.get_app_config(APP).get_models() if model.__name__ != "IdempotencyKey"]
#: Fields of every primary model in Nautobot.
COMMON_FIELDS = {field.name for field in PrimaryModel._meta.get_fields()} | {"id"}
EXAMPLE = re.compile(r"```sh\n(.*?)```\n```\n(\d+) [\w ]+\n(.*?)```", re.DOTALL)
REFUSED = re.compile(r"^\| `([{\[].*)` \| (\d{3}) (.*) \|$", re.MULTILINE)
PATH = re.compile(r'^ +(\w+_path) += "([^"]*)"', re.MULTILINE)
PAGES = [str(source.relative_to(DOCS).with_suffix(".html")) for source in sources()]


def text_of(name):
    return (DOCS / name).read_text(encoding="utf-8")


def code_in(name):
    """All words in backticks or code blocks of a page."""
    text = text_of(name)
    code = re.findall(r"```.*?```|`[^`]+`", text, re.DOTALL)
    return set(re.findall(r"[\w.]+", " ".join(code)))


class Links(HTMLParser):
    """The link targets and anchors of a page."""

    def __init__(self, html):
        super().__init__()
        self.links, self.ids, self.tags, self.pictures = [], set(), set(), []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.add(tag)
        if "id" in attributes:
            self.ids.add(attributes["id"])
        if tag == "img":
            self.pictures.append(attributes)
        elif "href" in attributes:
            self.links.append(attributes["href"])


@pytest.fixture(scope="module", autouse=True)
def built():
    """The pages are not in Git: rendered here, from the sources as they are now."""
    build()


def test_every_source_is_a_page_and_every_page_has_a_source():
    stray = DOCS / "models" / "stray.html"
    stray.write_text("of a source that is gone", encoding="utf-8")
    assert build() == len(PAGES)
    assert {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.html")} == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_the_title_and_text_of_its_source(page):
    html, source = text_of(page), text_of(page.removesuffix("html") + "md")
    title = source.partition("\n")[0].removeprefix("# ")
    assert f"<title>{title} - " in html
    assert f"{title}</h1>" in html
    assert html.count("<h2") == len(re.findall(r"^## ", source, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_links_work_and_stay_within_the_app(page):
    found = Links(text_of(page))
    assert not found.tags & {"script", "iframe"}
    for target in found.links:
        path, _, anchor = target.partition("#")
        assert not re.match(r"\w+:|/", path), f"{target} points outside the documentation"
        led_to = (DOCS / page).parent / path if path else DOCS / page
        assert led_to.resolve().is_relative_to(DOCS)
        assert led_to.is_file(), target
        assert not anchor or anchor in Links(led_to.read_text(encoding="utf-8")).ids, target


def test_pictures_exist_and_have_alternative_texts():
    pictures = [picture for page in PAGES for picture in Links(text_of(page)).pictures]
    assert pictures
    assert {picture["src"] for picture in pictures if not (DOCS / picture["src"]).is_file()} == set()
    assert all(picture["alt"] for picture in pictures)


def test_the_readme_links_to_existing_pages():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    named = re.findall(rf"\]\(({APP}/docs/[^)#]+)", readme)
    assert named
    assert [path for path in named if not (REPOSITORY / path).is_file()] == []


@pytest.fixture
def reader(db):
    """A client logged in as a user without any permissions."""
    client = Client()
    client.force_login(get_user_model().objects.create_user("reader"))
    return client


@pytest.mark.parametrize("path", [*PAGES, "style.css"])
def test_nautobot_serves_it_to_logged_in_users(reader, path):
    answer = reader.get(f"/docs/pve-ipam/{path}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == ("text/css" if path.endswith("css") else "text/html")
    assert b"".join(answer.streaming_content) == (DOCS / path).read_bytes()


def test_the_short_url_redirects_to_the_first_page(reader):
    for address in ("/docs/pve-ipam/", reverse(f"plugins:{APP}:docs")):
        assert reader.get(address).headers["Location"] == "/docs/pve-ipam/index.html"


def test_a_checkout_without_the_pages_says_how_to_build_them(reader, monkeypatch, tmp_path):
    monkeypatch.setattr(views, "DOCUMENTATION", tmp_path)
    answer = reader.get(reverse(f"plugins:{APP}:docs"))
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/plain")
    assert answer.content == b"The documentation has not been built: run make docs.\n"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_nautobot_finds_the_page_of_a_model(reader, model):
    url = get_docs_url(model)
    assert url == f"/docs/pve-ipam/models/{model._meta.model_name}.html"
    assert reader.get(url).status_code == 200


@pytest.mark.parametrize(
    "model", [m for m in MODELS if m.__name__ not in ("SDNDHCPRange", "Difference")], ids=lambda m: m.__name__
)
def test_a_models_form_links_to_its_page(model, db):
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"))
    form = client.get(reverse(f"plugins:{APP}:{model._meta.model_name}_add"))
    assert f'href="{get_docs_url(model)}"' in form.content.decode()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_of_a_model_is_documented(model):
    own = {field.name for field in (*model._meta.fields, *model._meta.many_to_many)} - COMMON_FIELDS
    assert own - code_in(f"models/{model._meta.model_name}.md") == set()


@pytest.mark.parametrize(
    ("page", "serializer"),
    [
        ("next_free_ip.md", AddressRequestSerializer),
        ("next_free_ip.md", PreviewSerializer),
        ("pve.md", SubnetRequestSerializer),
        ("pve.md", AddressHookSerializer),
    ],
)
def test_every_field_of_a_request_is_documented(page, serializer):
    assert set(serializer().fields) - code_in(page) - {"address"} == set()


def test_every_error_is_documented():
    def kinds(base):
        for kind in base.__subclasses__():
            yield kind
            yield from kinds(kind)

    documented = {name: text_of(name) for name in ("next_free_ip.md", "pve.md")}
    for kind in kinds(errors.PVEIPAMError):
        assert any(f"`{kind.code}`" in text for text in documented.values()), kind.code
    for kind in (errors.InvalidRequest, errors.Missing, errors.NoFreeAddress, errors.KeyReused, errors.Unavailable):
        assert f"| {kind.status} | `{kind.code}`" in documented["next_free_ip.md"]


def test_settings_and_permissions_are_documented():
    documented = code_in("admin.md")
    config = apps.get_app_config(APP)
    assert {*config.default_settings, *config.constance_config} - documented == set()
    assert set(HOOK_RIGHTS) - documented == set()


def test_metrics_are_documented(db):
    exported = {family.name for collect in metrics.metrics for family in collect()}
    exported |= {
        f"{counter._name}_total" for counter in (allocation.addresses_allocated, allocation.requests_exhausted)
    }
    assert exported - code_in("pages.md") == set()


def demo_network(live):
    """The demo's subnet with the addresses of its guests, in a separate namespace."""
    network = Network(live)
    base, mine = f"namespaces/{network.name}", {"zone": "simple1"}
    ranges = [{"start": "10.0.0.100", "end": "10.0.0.149"}, {"start": "10.0.0.150", "end": "10.0.0.199"}]
    subnet = {**mine, "vnet": "vnet0", "gateway": "10.0.0.1", "dhcp_ranges": ranges}
    assert live.request("PUT", f"{base}/subnets/10.0.0.0-24/", subnet).status == 201
    assert live.request("PUT", f"{base}/ips/10.0.0.1/", {**mine, "gateway": True}).status == 201
    for number in range(100, 104):
        guest = {**mine, "mac": f"BC:24:11:00:00:{number:X}"}
        assert live.request("PUT", f"{base}/ips/10.0.0.{number}/", guest).status == 201
    return network


@pytest.fixture(scope="module")
def demo(live):
    return demo_network(live)


def test_the_examples_of_next_free_ip_are_correct(demo):
    examples = EXAMPLE.findall(text_of("next_free_ip.md"))
    assert len(examples) == 6
    for command, status, answer in examples:
        url, body, key = parsed(command)
        url = url.replace("/pve/", f"/{demo.name}/")
        headers = {"Idempotency-Key": f"{key} {demo.name}"} if key else {}
        got = demo.live.request("GET" if body is None else "POST", url, body, headers=headers)
        assert (got.status, got.body) == (int(status), got.body), got.reason
        assert_documented(json.loads(answer.replace('"pve"', json.dumps(demo.name))), got.body)


@pytest.fixture(scope="module")
def automated(live):
    """Another one, and the environment of the examples for automation; the App serves core's available-ips."""
    network = demo_network(live)

    def uuid_of(what, **fields):
        query = urlencode({"namespace": network.name, **fields})
        (found,) = live.request("GET", f"/api/ipam/{what}/?{query}").body["results"]
        return found["id"]

    environment = {
        "NAUTOBOT_URL": live.url,
        "NAUTOBOT_TOKEN": live.token,
        "PREFIX": uuid_of("prefixes", prefix="10.0.0.0/24"),
        "RANGE": uuid_of("ip-address-ranges", start_address="10.0.0.100"),
    }
    with live.answering_available_ips():
        yield network, environment


def blocks(language):
    """The code blocks of the page for automation in that language."""
    found = re.findall(rf"^```{language}\n(.*?)^```", text_of("automation.md"), re.DOTALL | re.MULTILINE)
    assert found
    return found


def test_the_examples_of_automation_are_correct(automated):
    network, environment = automated
    examples = EXAMPLE.findall(text_of("automation.md"))
    assert len(examples) == 2
    for command, status, answer in examples:
        url, body, key = parsed(Template(command).safe_substitute(environment))
        for expected in (int(status), 200):
            got = network.live.request(
                "POST", url.removeprefix(network.live.url), body, headers={"Idempotency-Key": key}
            )
            assert got.status == expected, got
            assert_documented(json.loads(answer), got.body)


def test_the_examples_for_pynautobot_are_correct(automated, monkeypatch):
    network, environment = automated
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    first, second = (
        block.replace('namespace="pve"', f'namespace="{network.name}"').replace('"web2"', f'"web2 {network.name}"')
        for block in blocks("python")
    )
    found = {}
    exec(first, found)
    made = [found["address"], *found["several"]]
    assert len({address.address for address in made}) == len(made) == 5
    assert found["address"].dns_name == "web1.example.com"
    exec(second, found)
    assert found["address"].address == "10.0.0.152/24"
    assert found["address"].id == found["again"].id


def test_the_playbook_for_ansible_is_correct(automated, tmp_path):
    network, environment = automated
    (playbook,) = blocks("yaml")
    file = tmp_path / "playbook.yml"
    file.write_text(playbook.replace("Idempotency-Key: db1", f"Idempotency-Key: db1 {network.name}"))
    command = [sys.executable, "-m", "ansible", "playbook", "--inventory", "localhost,", "--connection", "local", file]
    settings = {"LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(tmp_path), "ANSIBLE_PYTHON_INTERPRETER": sys.executable}
    for changed in (1, 0):
        done = subprocess.run(
            command, env={**os.environ, **environment, **settings}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert '"msg": "db1 has 10.0.0.10/24"' in done.stdout
        assert f"changed={changed} " in done.stdout


def test_the_requests_of_the_example_for_terraform_are_correct(automated):
    """Terraform itself is no Python package: these are the requests that its provider sends."""
    network, _environment = automated
    (example,) = blocks("hcl")
    paths = {name: path.replace("/pve/", f"/{network.name}/") for name, path in PATH.findall(example)}
    data = dict(re.findall(r'(\w+) = "([^"]*)"', re.search(r"jsonencode\({(.*?)}\)", example)[1]))
    key = {"Idempotency-Key": f"web3 {network.name}"}
    made, again = (network.live.request("POST", paths["create_path"], data, headers=key) for _ in range(2))
    assert (made.status, again.status) == (201, 200)
    assert made.body["id"] == again.body["id"]
    of_it = {name: path.replace("{id}", made.body["id"]) for name, path in paths.items()}
    assert network.live.request("GET", of_it["read_path"]).body.items() >= data.items()
    assert network.live.request("PATCH", of_it["update_path"], {**data, "description": "changed"}).status == 200
    assert network.live.request("DELETE", of_it["destroy_path"]).status == 204


def test_the_sentences_of_refused_requests_are_correct(demo):
    rows = REFUSED.findall(text_of("next_free_ip.md"))
    assert len(rows) == 17
    for body, status, sentence in rows:
        got = demo.post("10.0.0.0-24", json.loads(body))
        expected = sentence.replace("namespace pve", f"namespace {demo.name}")
        assert (got.status, got.reason) == (int(status), expected)


def test_the_sentences_shown_by_pve_are_correct(live):
    """Each request is refused with a sentence and code from the table, and all sentences in the table occur."""
    sentences = {}
    for row in re.findall(r"^\| `.*\|$", text_of("pve.md").partition("## When something is refused")[2], re.MULTILINE):
        sentence, code, _why = row.strip("| ").split(" | ")
        # What admins change would be in the way of other tests here: see test_defaults.py and test_rejections.py.
        if (
            code not in ("`permission_denied`", "`unavailable`", "`misconfigured`", "`invalid`")
            and "is not served" not in sentence
        ):
            words = re.escape(sentence.strip("`")).replace(r"\.\.", ".+")
            sentences[re.compile(re.sub(r"\b[A-Z]\b", r"\\S+", words))] = code.strip("`")
    network = Network(live)
    base = f"namespaces/{network.name}"
    alpha, beta = ({"zone": "z1", "cluster": f"{name}-{network.name}"} for name in ("alpha", "beta"))
    of_alpha, of_beta = ({**who, "vnet": "v1"} for who in (alpha, beta))
    network.prefix("10.1.0.0/24")
    network.prefix("10.2.0.0/24")
    network.address("10.2.0.9/24")
    network.range("10.2.0.20", "10.2.0.29")
    for body, subnet in (
        (of_alpha, "10.3.0.0-24"),
        (of_beta, "10.3.0.0-24"),
        ({**of_alpha, "adopt": True}, "10.2.0.0-24"),
    ):
        assert live.request("PUT", f"{base}/subnets/{subnet}/", body).status == 201
    assert live.request("PUT", f"{base}/subnets/10.4.0.0-24/", of_beta).status == 201
    guest = {**alpha, "hostname": "web1", "mac": "BC:24:11:00:00:01"}
    assert live.request("PUT", f"{base}/ips/10.3.0.5/", guest).status == 201
    network.address("10.4.0.9/24")
    used = live.request("PUT", f"{base}/ips/10.2.0.6/", alpha).body["id"]
    server = {"name": network.name, "vip": used, "protocol": "tcp"}
    assert live.request("POST", "/api/load-balancers/virtual-servers/", server).status == 201
    twice = network.prefix("10.5.0.0/24")["id"]
    assert live.request("PUT", f"{base}/subnets/10.6.0.0-24/", {**of_alpha, "vnet": "v2"}).status == 201
    records = live.request("GET", f"subnets/?namespace={network.id}&depth=0").body["results"]
    for vnet in {one["vnet"]["id"] for one in records if one["cluster_name"] == alpha["cluster"]}:
        assert live.request("POST", "subnets/", {"vnet": vnet, "prefix": twice, "adopted": True}).status == 201
    only = {"range_start": "10.3.0.5", "range_end": "10.3.0.5"}
    seen = set()
    for method, path, body in (
        ("GET", "namespaces/nowhere/", None),
        ("PUT", f"{base}/subnets/10.1.0.0-24/", of_alpha),
        (
            "PUT",
            f"{base}/subnets/10.2.0.0-24/",
            {**of_alpha, "dhcp_ranges": [{"start": "10.2.0.20", "end": "10.2.0.29"}]},
        ),
        (
            "PUT",
            f"{base}/subnets/10.2.0.0-24/",
            {**of_alpha, "dhcp_ranges": [{"start": "10.2.0.25", "end": "10.2.0.35"}]},
        ),
        ("PUT", f"{base}/subnets/10.3.0.0-25/", of_alpha),
        ("DELETE", f"{base}/subnets/10.3.0.0-24/", alpha),
        ("DELETE", f"{base}/subnets/10.4.0.0-24/", beta),
        ("DELETE", f"{base}/subnets/10.5.0.0-24/", {"cluster": alpha["cluster"]}),
        ("PUT", f"{base}/ips/10.3.0.5/", {**beta, "mac": "BC:24:11:00:00:02"}),
        ("PUT", f"{base}/ips/10.2.0.9/", alpha),
        ("PUT", f"{base}/ips/10.3.0.6/", guest),
        ("PUT", f"{base}/ips/10.9.0.1/", alpha),
        ("DELETE", f"{base}/ips/10.3.0.5/", beta),
        ("DELETE", f"{base}/ips/10.2.0.9/", alpha),
        ("DELETE", f"{base}/ips/10.2.0.6/", alpha),
        ("DELETE", f"{base}/ips/10.3.0.5/", {**alpha, "mac": "BC:24:11:00:00:02"}),
        ("POST", f"{base}/subnets/10.1.0.0-24/next-free-ip/", {"zone": "z1", "cluster": alpha["cluster"]}),
        ("POST", f"{base}/subnets/10.3.0.0-24/next-free-ip/", {"cluster": "nobody"}),
        ("POST", f"{base}/subnets/10.3.0.0-24/next-free-ip/", only),
        ("POST", f"{base}/subnets/10.3.0.0-24/next-free-ip/", b"wrong token"),
    ):
        answer = live.request(method, path, body, token="0" * 40 if isinstance(body, bytes) else live.token)
        documented = [sentence for sentence in sentences if sentence.fullmatch(answer.reason)]
        assert [sentences[sentence] for sentence in documented] == [answer.body["code"]], answer.reason
        seen.update(documented)
    assert seen == set(sentences)


def parsed(command):
    """Path below the App's API, JSON body or None, and Idempotency-Key of a curl command."""
    words = iter(shlex.split(command.replace("\\\n", " "))[1:])
    url, body, key = "", None, None
    for word in words:
        if word == "-d":
            body = json.loads(next(words))
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            key = value if name == "Idempotency-Key" else key
        else:
            url = word.removeprefix("$API/")
    return url, body, key


def assert_documented(documented, got):
    """`got` contains everything documented, ignoring IDs and URLs; the documentation may omit fields."""
    if isinstance(documented, dict):
        for name, value in documented.items():
            assert name in got
            if name not in ("id", "url"):
                assert_documented(value, got[name])
    elif isinstance(documented, list):
        assert len(documented) == len(got)
        for one, other in zip(documented, got, strict=True):
            assert_documented(one, other)
    else:
        assert documented == got
