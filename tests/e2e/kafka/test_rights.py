"""With the rights that docs/operating.md lists, and no others, commands do their work; with one fewer they say so."""

import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.e2e.kafka.installation import ORDERS, Installation, wait_for
from tests.e2e.kafka.senders import as_json, order
from tests.servers.folders import scratch_folder
from tests.servers.kafka import KafkaServer
from tests.servers.ports import LOOPBACK

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

DOCUMENTED = Path(__file__).parents[3] / "docs" / "operating.md"
ROW = re.compile(r"^\| (`[^|]+) \| ([^|]+) \| ([A-Z][A-Za-z, ]+) \|$", re.MULTILINE)
USERS = ["worker", "relay", "publish", "tail", "create", "check", "nobody"]
PASSWORD = secrets.token_hex(8)

Right = tuple[str, str]
"""On what, and which."""


def documented() -> dict[str, list[Right]]:
    """The table's rights, by what they are for."""
    found: defaultdict[str, list[Right]] = defaultdict(list)
    for commands, on, rights in ROW.findall(DOCUMENTED.read_text(encoding="utf-8")):
        for command in re.findall(r"`([^`]+)`", commands):
            found[command] += [(on.strip(), right.strip()) for right in rights.split(",")]
    return dict(found)


RIGHTS = documented()


class StrictKafka(KafkaServer):
    """Lets its users do what they were given a right to, and nothing else; INTERNAL is the tests' own way in."""

    ports_needed = 3

    @property
    def internal(self) -> str:
        return f"{LOOPBACK}:{self.ports[2]}"

    def configuration(self) -> dict[str, str]:
        clients, controller, internal = self.ports
        module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        known = " ".join(f'user_{user}="{PASSWORD}"' for user in USERS)
        return {
            **super().configuration(),
            "listeners": f"SASL_PLAINTEXT://{LOOPBACK}:{clients},CONTROLLER://{LOOPBACK}:{controller},"
            f"INTERNAL://{LOOPBACK}:{internal}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
            "inter.broker.listener.name": "INTERNAL",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{module} {known};",
        }


@pytest.fixture(scope="module")
def strict_kafka(kafka: str) -> Iterator[StrictKafka]:
    """`kafka` is asked for only because where it is missing, this is as well."""
    del kafka
    with scratch_folder("kafka") as folder, StrictKafka(folder) as server:
        yield server


@pytest.fixture
def installation(strict_kafka: StrictKafka, postgres: str, tmp_path: Path) -> Installation:
    """Its topics are made; whoever acts in it is `as_user`."""
    prefix = f"t{secrets.token_hex(4)}-"
    made = Installation(folder=tmp_path, store=postgres, bus=f"kafka://{strict_kafka.internal}", prefix=prefix)
    made.run("topics", "create", ORDERS, "--partitions", 2)
    return made


@pytest.fixture
def as_user(installation: Installation, strict_kafka: StrictKafka) -> Callable[[str, Sequence[Right]], Installation]:
    """Give the installation as it is for a user who has these rights."""

    def made(user: str, rights: Sequence[Right]) -> Installation:
        grant(strict_kafka, installation, user, rights)
        login = {
            "AMENDS_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "AMENDS_KAFKA_SASL_MECHANISM": "PLAIN",
            "AMENDS_KAFKA_USER": user,
            "AMENDS_KAFKA_PASSWORD": "${env:KAFKA_PASSWORD}",
            "KAFKA_PASSWORD": PASSWORD,
        }
        return replace(installation, bus=f"kafka://{strict_kafka.address}", more=login)

    return made


def grant(server: StrictKafka, installation: Installation, user: str, rights: Sequence[Right]) -> None:
    """Write rules for this installation's topics and group."""
    topic, exactly, all_under = ResourceType.TOPIC, ResourcePatternType.LITERAL, ResourcePatternType.PREFIXED
    places = {
        "trigger topics": [(topic, name, exactly) for name in (installation.orders, installation.notices)],
        "own topics": [(topic, f"{installation.own.prefix}.", all_under)],
        "group `PREFIX.NAMESPACE`": [(ResourceType.GROUP, f"{installation.own.prefix}.default", exactly)],
    }
    rules = [
        AclBinding(kind, name, pattern, f"User:{user}", "*", operation(right), AclPermissionType.ALLOW)
        for on, right in rights
        for kind, name, pattern in places[on]
    ]
    admin = AdminClient({"bootstrap.servers": server.internal})
    for made in admin.create_acls(rules).values() if rules else ():
        made.result(20)


def operation(right: str) -> AclOperation:
    return AclOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", right).upper()]


def test_the_page_names_every_command_that_needs_rights() -> None:
    assert set(RIGHTS) == {
        *("worker", "relay", "publish", "dead-letters redrive"),
        *("topics tail", "audit verify --from-topic", "topics create", "topics check"),
    }


def test_with_the_documented_rights_a_trigger_has_its_outcome(
    installation: Installation, as_user: Callable[[str, Sequence[Right]], Installation]
) -> None:
    assert as_user("create", RIGHTS["topics create"]).run("topics", "create", ORDERS)
    worker, relay = as_user("worker", RIGHTS["worker"]), as_user("relay", RIGHTS["relay"])
    publisher = as_user("publish", RIGHTS["publish"])
    reader = as_user("tail", RIGHTS["audit verify --from-topic"])
    with ExitStack() as stack:
        stack.enter_context(worker.started("worker", "worker", ORDERS))
        stack.enter_context(relay.started("relay", "relay"))
        publisher.run("publish", installation.orders, "--json", as_json(order("1")).decode(), "--wait")
        publisher.run("publish", installation.orders, "--json", '{"no": "order"}')
        wait_for(lambda: bool(installation.json("dead-letters", "list")), "the dead letter is there")
        publisher.run("dead-letters", "redrive", "--all")
        wait_for(lambda: reader.json("audit", "verify", "--all", "--from-topic", code=None).get("runs") == 1, "copied")
    assert "orders" in as_user("check", RIGHTS["topics check"]).run("topics", "check")
    assert "completed" in reader.run("topics", "tail", installation.own.outcomes, "--limit", 1)


REFUSED: dict[str, tuple[list[object], str]] = {
    "worker": (["worker", ORDERS], "AM4104"),
    "relay": (["relay"], "AM4108"),
    "publish": (["publish", "ORDERS", "--json", "{}"], "AM4104"),
    "dead-letters redrive": (["dead-letters", "redrive", "--all"], "AM4108"),
    "topics tail": (["topics", "tail", "OUTCOMES"], "AM5040"),
    "audit verify --from-topic": (["audit", "verify", "--all", "--from-topic"], "AM4104"),
    "topics create": (["topics", "create", ORDERS], "AM4110"),
    "topics check": (["topics", "check"], "AM4108"),
}
"""How a command is called, and what it says without a right: what it may not see looks to it as if it was missing."""

GROUP = ("group `PREFIX.NAMESPACE`", "Read")
NEEDED = [
    (command, right)
    for command, rights in RIGHTS.items()
    for right in rights
    if right != GROUP and right[1] != "Describe"
]
"""Describe is for what is there before: without it `topics create` tries to make it again, and `check` misses it."""


@pytest.mark.parametrize(("command", "missing"), NEEDED)
def test_with_one_right_fewer_a_command_ends_with_what_it_lacks(
    installation: Installation,
    as_user: Callable[[str, Sequence[Right]], Installation],
    command: str,
    missing: Right,
) -> None:
    arguments, code = REFUSED[command]
    if command == "topics check":
        installation.run("worker", ORDERS, "--until-idle")  # The store knows the trigger topics from then on.
    user = as_user("nobody", [right for right in RIGHTS[command] if right != missing])
    names = {"ORDERS": installation.orders, "OUTCOMES": installation.own.outcomes}
    said = user.run(*(names.get(str(each), each) for each in arguments), code=6 if code == "AM5040" else 2, stderr=True)
    assert f"error {code}: " in said


def test_a_worker_without_the_right_to_its_group_says_so_and_reads_once_it_has_it(
    installation: Installation, as_user: Callable[[str, Sequence[Right]], Installation], strict_kafka: StrictKafka
) -> None:
    user = as_user("nobody", [right for right in RIGHTS["worker"] if right != GROUP])
    with user.started("worker", "worker", ORDERS):
        wait_for(lambda: user.log_of("worker").count("AM4108: ") > 2, "it says what it lacks")
        assert "bus_is_back" not in user.log_of("worker"), "to be let in and refused the group is not to be back"
        grant(strict_kafka, installation, "nobody", [GROUP])
        installation.run("publish", installation.orders, "--json", as_json(order("1")).decode(), "--wait")
        wait_for(lambda: "bus_is_back" in user.log_of("worker"), "it says that it reads again")
