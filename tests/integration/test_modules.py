"""The tenant modules do what they say with the real Terraform, offline."""

import base64
import hashlib
import json
import os
import re
import threading
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicNumbers
from real_terraform import ModuleRun, terraform

MODULES = Path(__file__).parents[2] / "modules"
KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
}
DOMAIN = "acme.example.com"
DID = f"did:web:{DOMAIN}"
HOSTILE = [
    'a"b',
    '${file("/etc/passwd")}',
    "$(touch gone)",
    "`touch gone`",
    "a\nb",
    "acme\n",
    "../../etc",
    "a;b",
    "ä",
    "",
    "%{if true}",
]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "site of all"


@pytest.fixture
def module(tmp_path):
    return lambda name: ModuleRun(MODULES / name, tmp_path / "workspaces" / name)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def check_did_document(document: dict) -> None:
    """The rules of DID Core 1.0 that a document of ours could break."""
    assert document["@context"][0] == "https://www.w3.org/ns/did/v1"
    assert re.fullmatch(r"did:web:[a-z0-9.-]+", document["id"])
    ids = [thing["id"] for kind in ("verificationMethod", "service") for thing in document.get(kind, [])]
    assert len(ids) == len(set(ids))
    assert all(id_.startswith(document["id"] + "#") for id_ in ids)
    for method in document.get("verificationMethod", []):
        assert method["controller"] == document["id"]
        assert len({"publicKeyJwk", "publicKeyMultibase"} & set(method)) == 1
        assert "d" not in method.get("publicKeyJwk", {})
    methods = {method["id"] for method in document.get("verificationMethod", [])}
    for relationship in ("authentication", "assertionMethod"):
        assert set(document.get(relationship, [])) <= methods
    assert all(service["type"] and service["serviceEndpoint"].startswith("http") for service in document["service"])
    assert set(document) <= {"@context", "id", "verificationMethod", "authentication", "assertionMethod", "service"}


# --- tenant-did ----------------------------------------------------------------------------------------------------


def test_did_document_with_a_key_is_valid_and_where_did_web_looks(module, root):
    service = {"id": "credentials", "type": "CredentialService", "serviceEndpoint": "https://acme.example.com/api"}
    outputs = module("tenant-did").apply(
        tenantId="acme", domain=DOMAIN, root=f"{root}/", publicKeyJwk=KEY, services=[service]
    )
    path = root / DOMAIN / ".well-known" / "did.json"
    document = json.loads(path.read_text())
    check_did_document(document)
    assert outputs["document"] == document
    assert (outputs["did"], outputs["path"]) == (DID, str(path))
    assert outputs["url"] == "https://acme.example.com/.well-known/did.json"
    assert document["authentication"] == document["assertionMethod"] == [f"{DID}#key-1"]
    assert [service["id"] for service in document["service"]] == [f"{DID}#acme", f"{DID}#credentials"]
    jwk = document["verificationMethod"][0]["publicKeyJwk"]
    x, y = (int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "=")) for name in "xy")
    assert EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key().key_size == 256


def test_did_document_without_a_key_points_to_services_alone(module, root):
    module("tenant-did").apply(tenantId="acme", domain=DOMAIN, root=str(root))
    document = json.loads((root / DOMAIN / ".well-known" / "did.json").read_text())
    check_did_document(document)
    assert set(document) == {"@context", "id", "service"}


def test_did_document_takes_a_multikey_and_writes_no_file_without_a_root(module, root):
    multikey = "z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
    outputs = module("tenant-did").apply(tenantId="acme", domain=DOMAIN, publicKeyMultibase=multikey)
    check_did_document(outputs["document"])
    assert outputs["document"]["verificationMethod"][0]["type"] == "Multikey"
    assert "path" not in outputs
    assert not root.exists()


@pytest.mark.parametrize("key", [{**KEY, "d": "c2VjcmV0"}, {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "EC", "x": "a"}])
def test_did_document_takes_no_private_or_partial_key(module, root, key):
    last = module("tenant-did").try_apply(tenantId="acme", domain=DOMAIN, root=str(root), publicKeyJwk=key)
    assert last.code == 1
    assert "publicKeyJwk must be a public key" in last.err
    assert not root.exists()


# --- files: change, repair, destroy --------------------------------------------------------------------------------


def test_second_apply_of_the_same_inputs_changes_nothing(module, root):
    run = module("tenant-did")
    first = run.apply(tenantId="acme", domain=DOMAIN, root=str(root))
    assert run.plan_code() == 0
    assert run.apply(tenantId="acme", domain=DOMAIN, root=str(root)) == first


def test_change_rewrites_the_file_without_a_gap(module, root):
    run = module("tenant-did")
    first = run.apply(tenantId="acme", domain=DOMAIN, root=str(root))
    path = Path(first["path"])
    seen: set[bytes | None] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            try:
                seen.add(path.read_bytes())
            except FileNotFoundError:
                seen.add(None)

    before, watcher = path.read_bytes(), threading.Thread(target=watch)
    watcher.start()
    try:
        second = run.apply(tenantId="acme", domain=DOMAIN, root=str(root), publicKeyJwk=KEY)
    finally:
        done.set()
        watcher.join()
    assert path.read_bytes() != before
    assert seen <= {before, path.read_bytes()}
    assert second["version"] != first["version"]
    assert run.plan_code() == 0


def test_change_of_the_path_moves_the_file(module, root):
    run = module("tenant-did")
    run.apply(tenantId="acme", domain=DOMAIN, root=str(root))
    run.apply(tenantId="acme", domain="acme.example.org", root=str(root))
    assert files(root) == ["acme.example.org/.well-known/did.json"]
    assert [path.name for path in root.iterdir()] == ["acme.example.org"]


@pytest.mark.parametrize("damage", ["removed", "altered"])
def test_next_apply_repairs_a_file_once(module, root, damage):
    run = module("tenant-did")
    path = Path(run.apply(tenantId="acme", domain=DOMAIN, root=str(root))["path"])
    whole = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_text("{}")
    assert run.plan_code() == 2
    run.apply(tenantId="acme", domain=DOMAIN, root=str(root))
    assert path.read_bytes() == whole
    assert run.plan_code() == 0


def test_destroy_leaves_nothing_behind(module, root):
    for name, inputs in everything(root).items():
        module(name).apply(**inputs)
    assert len(files(root)) == 3
    for name in reversed(everything(root)):
        module(name).destroy()
    assert list(root.iterdir()) == []


def test_destroy_keeps_what_others_wrote(module, root):
    run = module("tenant-config")
    path = Path(run.apply(**everything(root)["tenant-config"])["path"])
    neighbour = path.with_name("zeta.json")
    neighbour.write_text("{}")
    path.write_text('{"by": "somebody else"}')
    assert "keeping" in run.destroy()
    assert files(root) == ["cells/eu-1/active/acme.json", "cells/eu-1/active/zeta.json"]


def test_destroy_of_a_site_that_is_gone_succeeds(module, root):
    run = module("tenant-did")
    Path(run.apply(tenantId="acme", domain=DOMAIN, root=str(root))["path"]).unlink()
    for folder in (root / DOMAIN / ".well-known", root / DOMAIN, root):
        folder.rmdir()
    run.destroy()
    assert not root.exists()


def test_failed_write_names_the_file_and_leaves_no_half(module, root):
    blocked = root / DOMAIN / ".well-known" / "did.json"
    blocked.mkdir(parents=True)
    run = module("tenant-did")
    last = run.try_apply(tenantId="acme", domain=DOMAIN, root=str(root))
    assert last.code == 1
    assert "did.json is a folder" in last.err
    assert files(root) == []
    blocked.rmdir()
    run.apply(tenantId="acme", domain=DOMAIN, root=str(root))
    run.destroy()
    assert files(root) == []


def test_write_that_failed_keeps_the_old_file_and_its_owner(module, root, tmp_path):
    run = module("tenant-did")
    path = Path(run.apply(tenantId="acme", domain=DOMAIN, root=str(root))["path"])
    before = path.read_bytes()
    full = tmp_path / "bin"
    full.mkdir()
    (full / "mv").write_text("#!/bin/sh\necho 'mv: no space left on device' >&2\nexit 1\n")
    (full / "mv").chmod(0o755)
    run.render({"tenantId": "acme", "domain": DOMAIN, "root": str(root), "publicKeyJwk": KEY})
    last = terraform(
        run.folder, ["apply", "-auto-approve", "-input=false", "-no-color"], path=f"{full}:{os.environ['PATH']}"
    )[-1]
    assert last.code == 1
    assert "no space left" in last.err + last.out
    assert path.read_bytes() == before
    assert files(root) == [f"{DOMAIN}/.well-known/did.json"]
    run.destroy()
    assert files(root) == []


# --- tenant-config -------------------------------------------------------------------------------------------------


def everything(root: Path) -> dict[str, dict]:
    did_path = str(root / DOMAIN / ".well-known" / "did.json")
    common = {"tenantId": "acme", "domain": DOMAIN, "root": str(root)}
    return {
        "tenant-did": common,
        "tenant-config": {**common, "cell": "eu-1", "did": DID},
        "tenant-ingress": {
            **common,
            "cell": "eu-1",
            "didPath": did_path,
            "upstreams": ["10.0.0.5:8080", "[fd00::5]:81"],
        },
    }


def test_configuration_is_active_in_the_cell_and_nothing_stays_staged(module, root):
    document = {"verificationMethod": [{"id": f"{DID}#key-1"}]}
    outputs = module("tenant-config").apply(
        **everything(root)["tenant-config"], didDocument=document, displayName="Acme", metadata={"plan": ["gold", 1]}
    )
    assert files(root) == ["cells/eu-1/active/acme.json"]
    configuration = json.loads(Path(outputs["path"]).read_text())
    assert configuration == outputs["configuration"]
    assert configuration == {
        "tenant": {"id": "acme", "name": "Acme", "domain": DOMAIN, "metadata": {"plan": ["gold", 1]}},
        "cell": "eu-1",
        "identity": {"did": DID, "keys": [f"{DID}#key-1"]},
    }


def test_registration_token_is_kept_as_its_digest_alone(module, root):
    token = "correct-horse-battery-staple"
    run = module("tenant-config")
    outputs = run.apply(**everything(root)["tenant-config"], registrationToken=token)
    (run.folder / "terraform.tfvars.json").unlink()
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert json.loads(Path(outputs["path"]).read_text())["registration"] == {"tokenSha256": digest}
    assert token not in run.state()
    assert re.fullmatch(r"[0-9a-f]{64}", outputs["apiKey"])
    assert outputs["apiKey"] != digest
    described = json.loads(terraform(run.folder, ["output", "-json"])[-1].out)
    assert {name for name, output in described.items() if output["sensitive"]} == {"apiKey"}


def test_short_registration_token_is_refused(module, root):
    last = module("tenant-config").try_apply(**everything(root)["tenant-config"], registrationToken="hunter2")
    assert last.code == 1
    assert "at least 16 characters" in last.err


def test_free_text_reaches_the_configuration_as_it_is(module, root):
    texts = [*HOSTILE, "'; touch gone; '", "%s %n \\0", "<script>&"]
    module("tenant-config").apply(**everything(root)["tenant-config"], displayName=texts[1], metadata={"texts": texts})
    tenant = json.loads((root / "cells/eu-1/active/acme.json").read_text())["tenant"]
    assert (tenant["name"], tenant["metadata"]["texts"]) == (texts[1], texts)
    assert list(root.parent.rglob("gone")) == []


def test_yaml_configuration_says_the_same(module, root):
    outputs = module("tenant-config").apply(**everything(root)["tenant-config"], format="yaml", metadata={"a": "${x}"})
    assert outputs["path"].endswith("active/acme.yaml")
    assert yaml.safe_load(Path(outputs["path"]).read_text()) == outputs["configuration"]


# --- tenant-ingress ------------------------------------------------------------------------------------------------


def nginx_blocks(text: str) -> list:
    """The file as nested ``[words, block or None]``, quotes removed. Fails when braces or semicolons do not balance."""
    tokens = re.findall(r'"(?:[^"\\]|\\.)*"|[{};]|[^\s{};"]+', re.sub(r"(?m)^\s*#.*$", "", text))
    stack, words = [[]], []
    for token in tokens:
        if token == ";":
            stack[-1].append([words, None])
            words = []
        elif token == "{":
            stack[-1].append([words, block := []])
            stack.append(block)
            words = []
        elif token == "}":
            assert not words
            stack.pop()
        else:
            words.append(token.strip('"'))
    assert not words
    assert len(stack) == 1
    return stack[0]


def test_nginx_route_sends_the_domain_to_the_upstreams_and_serves_the_did(module, root):
    inputs = everything(root)["tenant-ingress"]
    outputs = module("tenant-ingress").apply(**inputs)
    assert outputs["path"] == str(root / "ingress/nginx/acme.conf")
    (upstream, servers), (server, settings) = nginx_blocks(Path(outputs["path"]).read_text())
    assert upstream == ["upstream", "tenant-acme"]
    assert [words[1] for words, _ in servers if words[0] == "server"] == inputs["upstreams"]
    assert server == ["server"]
    flat = {" ".join(words): block for words, block in settings}
    assert {"listen 80", f"server_name {DOMAIN}"} <= set(flat)
    assert [["alias", inputs["didPath"]], None] in flat["location = /.well-known/did.json"]
    assert [["proxy_pass", "http://tenant-acme"], None] in flat["location /"]
    assert outputs["routes"] == [
        {"host": DOMAIN, "path": "/.well-known/did.json", "to": [inputs["didPath"]]},
        {"host": DOMAIN, "path": "/", "to": inputs["upstreams"]},
    ]


def test_traefik_route_sends_the_domain_to_the_upstreams(module, root):
    inputs = everything(root)["tenant-ingress"]
    outputs = module("tenant-ingress").apply(**inputs, kind="traefik")
    http = yaml.safe_load(Path(outputs["path"]).read_text())["http"]
    assert {router["rule"] for router in http["routers"].values()} == {
        f"Host(`{DOMAIN}`)",
        f"Host(`{DOMAIN}`) && Path(`/.well-known/did.json`)",
    }
    for router in http["routers"].values():
        assert router["service"] in http["services"]
        assert set(router["middlewares"]) <= set(http["middlewares"])
    servers = http["services"]["tenant-acme"]["loadBalancer"]["servers"]
    assert servers == [{"url": f"http://{upstream}"} for upstream in inputs["upstreams"]]


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module_name", ["tenant-did", "tenant-config", "tenant-ingress"])
def test_hostile_inputs_are_refused_before_anything_is_written(module, root, module_name):
    good = everything(root)[module_name]
    run = module(module_name)
    run.render(good)
    cases = [(name, value) for name in good if name != "upstreams" for value in HOSTILE]
    cases = [(name, value) for name, value in cases if value != "ä" or name not in {"root", "didPath"}]
    plans = []
    for number, (name, value) in enumerate(cases):
        (run.folder / f"{number}.json").write_text(json.dumps({name: value}))
        plans.append(["plan", "-input=false", "-no-color", f"-var-file={number}.json"])
    init, *planned = terraform(run.folder, ["init", "-input=false", "-no-color"], *plans, keep_going=True)
    assert init.code == 0
    for (name, value), ran in zip(cases, planned, strict=True):
        assert ran.code == 1, (name, value)
        assert f"{name} must be" in ran.err, (name, value, ran.err)
    assert not root.exists()


@pytest.mark.parametrize("upstreams", [[], ["10.0.0.5"], ["a:80; }"], ['a"b:80'], ["a:80\nb:80"], ["http://a:80"]])
def test_hostile_upstreams_are_refused(module, root, upstreams):
    inputs = {**everything(root)["tenant-ingress"], "upstreams": upstreams}
    last = module("tenant-ingress").try_apply(**inputs)
    assert last.code == 1
    assert "upstreams must be" in last.err
    assert not root.exists()


# --- house rules ---------------------------------------------------------------------------------------------------


def test_modules_are_formatted():
    last = terraform(MODULES.parent, ["fmt", "-check", "-recursive", "-diff", "modules", "runner/project/template"])[-1]
    assert last.code == 0, last.out


def test_every_copy_of_the_file_module_is_the_same():
    copies = sorted(MODULES.glob("*/file/main.tf"))
    assert len(copies) == 3
    assert len({copy.read_text() for copy in copies}) == 1
