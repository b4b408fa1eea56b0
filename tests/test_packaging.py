"""What is built can be installed and used elsewhere, beside a user's own modules, and asks for no more than it says."""

import importlib.metadata
import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.e2e.cli.conftest import play
from tests.e2e.cli.test_bundles import RUNS
from tests.e2e.cli.test_replay import may_unshare
from tests.e2e.faults.installation import Installation
from tests.servers.tools import CHECKOUT

MOUNTED = ("compensations", "connectors", "coordinator", "schemas")
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]


@dataclass(frozen=True, kw_only=True)
class Built:
    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist, and the wheel built from the sdist: neither needs the checkout any more, nor a network."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, CHECKOUT)
    return Built(sdist=next(folder.glob("*.tar.gz")), wheel=next(folder.glob("*.whl")))


@pytest.fixture(scope="session")
def elsewhere(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel, and the locked versions of what its metadata asks for."""
    folder = tmp_path_factory.mktemp("elsewhere")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    site_packages = next(folder.glob("lib/python*/site-packages"))
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", "--quiet", built.wheel)
    for name in required_by(set(PROJECT["dependencies"])):
        for part in top_level(importlib.metadata.distribution(name)):
            if not (link := site_packages / part.name).exists():
                link.symlink_to(part)
    return python


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's folder, with modules of their own that have the names of our folders."""
    for name in MOUNTED:
        (tmp_path / f"{name}.py").write_text("MINE = True\n")
    return tmp_path


@pytest.mark.timeout(120)
def test_the_wheel_holds_every_committed_module_and_nothing_else(built: Built) -> None:
    folders = [*MOUNTED, "examples"]
    committed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", *folders, cwd=CHECKOUT).split()
    public = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "src", cwd=CHECKOUT).split()
    expected = {f"amends/{path}" for path in committed if (CHECKOUT / path).exists()}
    expected |= {path.removeprefix("src/") for path in public if not (CHECKOUT / path).is_dir()}
    with zipfile.ZipFile(built.wheel) as wheel:
        assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected


@pytest.mark.timeout(120)
def test_the_sdist_holds_the_license_and_no_environment(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        top = {name.split("/")[1] for name in sdist.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "tests", *MOUNTED} <= top
    assert not top & {".venv", ".cache", ".git", ".amends"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", MOUNTED)
def test_a_users_own_module_and_ours_of_that_name_are_both_imported(name: str, elsewhere: Path, project: Path) -> None:
    program = f"import {name}, amends.{name} as ours; print({name}.MINE, ours.__file__ != {name}.__file__)"
    assert run(elsewhere, "-W", "error", "-c", program, cwd=project) == "True True\n"


@pytest.mark.timeout(120)
def test_every_module_of_the_base_install_is_imported_without_an_extra(elsewhere: Path, project: Path) -> None:
    program = """if True:
        import importlib, pkgutil, amends
        needs_extra, failed = {"psycopg", "psycopg_pool", "anthropic", "faust", "mode"}, []
        for module in pkgutil.walk_packages(amends.__path__, "amends."):
            try:
                importlib.import_module(module.name)
            except ImportError as error:
                if (error.name or "").split(".")[0] not in needs_extra:
                    failed.append(f"{module.name}: {error}")
        print(failed)
    """
    assert run(elsewhere, "-c", program, cwd=project) == "[]\n"


@pytest.mark.timeout(120)
def test_the_installed_command_answers_elsewhere(elsewhere: Path, project: Path) -> None:
    command = elsewhere.with_name("amends")
    assert "Usage: amends" in run(command, "--help", cwd=project)
    assert run(command, "--help", cwd=project) == run(elsewhere, "-m", "amends", "--help", cwd=project)


@pytest.mark.timeout(240)
def test_a_bundle_from_postgresql_opens_in_the_base_install_without_a_network(
    elsewhere: Path, postgres: str, tmp_path: Path
) -> None:
    made = Installation(
        folder=tmp_path, settings={"AMENDS_STORE": postgres, "AMENDS_CHECKPOINT_KEY": "${file:key.pem}"}
    )
    made.ledger.mkdir()
    key = made.json("audit", "keygen", "--to", "key.pem")["public_key"]
    play(made)
    said = made.json("forensics", "export", *RUNS, "--to", "case.amends")
    alone = ("unshare", "-rn") if may_unshare() else ()
    find = "import importlib.util; print(importlib.util.find_spec('psycopg'))"
    assert run(elsewhere, "-c", find, cwd=tmp_path) == "None\n"

    def in_base(*arguments: str) -> str:
        command = [*alone, elsewhere, "-m", "amends", *arguments]
        return run(*command, cwd=tmp_path)

    opened = json.loads(in_base("forensics", "open", "case.amends", "--public-key", key, "-o", "json"))
    assert (opened["ok"], opened["entries"], opened["hash"]) == (True, said["entries"], said["hash"])
    assert opened["signed"]["entries"] == said["entries"]
    for name in RUNS:
        for command in (("replay",), ("runs", "show"), ("runs", "story"), ("runs", "events"), ("runs", "state")):
            told, expected = in_base(*command, name, "--bundle", "case.amends"), made.ok(*command, name)
            if command == ("runs", "show"):
                told, expected = of_the_log(told), of_the_log(expected)
            assert told == expected


def of_the_log(shown: str) -> str:
    """What `runs show` says, but for what holds now: a bundle knows no worker and takes no commands."""
    return "\n\n".join(shown.rstrip("\n").split("\n\n")[:2])


def test_help_imports_neither_clients_nor_frameworks(project: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "amends", "--help"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in ran.stderr.splitlines() if "|" in line}
    assert "amends" in imported
    assert not imported & {"aiohttp", "aiokafka", "anthropic", "eventsourcing", "fastapi", "faust", "psycopg"}


LOCKS = sorted((CHECKOUT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_by_hash_and_names_no_index_host_or_path(lock: Path) -> None:
    for line in lock.read_text().splitlines():
        if not line.startswith("    --hash=sha256:"):
            assert re.fullmatch(r"[a-z0-9-]+==[^\s/]+( ; [^/]+)? \\", line), line


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("base.txt", set()), ("dev.txt", {"all", "claude", "postgres", "views"})],
    ids=["base.txt", "dev.txt"],
)
def test_the_lock_fits_what_pyproject_asks_for(lock: str, extras: set[str]) -> None:
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (CHECKOUT / "requirements" / lock).read_text(), re.MULTILINE))
    asked = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    for requirement in map(Requirement, asked):
        if requirement.name != PROJECT["name"]:
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def required_by(requirements: set[str]) -> set[str]:
    """The names of all distributions that `requirements` lead to, in this environment."""
    names = set()
    for requirement in map(Requirement, requirements):
        names.add(requirement.name)
        lines = map(Requirement, importlib.metadata.requires(requirement.name) or ())
        names |= required_by({_unmarked(line) for line in lines if _applies(line, requirement.extras or {""})})
    return names


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)


def _unmarked(requirement: Requirement) -> str:
    requirement.marker = None
    return str(requirement)


def top_level(distribution: importlib.metadata.Distribution) -> set[Path]:
    """What a distribution brings into site-packages: its packages, modules and metadata."""
    site_packages = Path(str(distribution.locate_file("")))
    names = {Path(str(file)).parts[0] for file in distribution.files or ()}
    return {site_packages / name for name in names - {"..", "__pycache__"}}


def run(*command: object, cwd: Path | None = None) -> str:
    """Run to the end and return what it printed; its error output is the failure's message."""
    ran = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False, timeout=110)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout
