"""Every rule about definitions: its code, what it asks, how grave it is. Each has a page in docs/errors."""

from typing import Final, Literal

import msgspec


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. `asks` completes the sentence "a definition …"."""

    code: str
    asks: str
    severity: Literal["error", "warning"] = "error"


_TABLE: Final = (
    # the definition and its options
    Rule(code="AM1001", asks="gives every step a name of its own"),
    Rule(code="AM1002", asks="uses names that can stand in paths, keys and commands"),
    Rule(code="AM1003", asks="has 300 steps at most"),
    Rule(code="AM1004", asks="has at least one step"),
    Rule(code="AM1005", asks="declares each handler of a step, and the result, once"),
    Rule(code="AM1006", asks="gives its options values they can have"),
    Rule(code="AM1007", asks="is complete when it closes; nothing is added afterwards"),
    Rule(code="AM1008", asks="stands once for each name and version in an app"),
    # calls
    Rule(code="AM1010", asks="calls sagas that keep every rule, and never itself"),
    Rule(code="AM1012", asks="takes the result of a called saga that has one"),
    Rule(code="AM1013", asks="tells the items of a list apart by text or an integer"),
    Rule(code="AM1014", asks="collects failures only where one step of an item acts"),
    # dependencies
    Rule(code="AM1020", asks="waits only for steps it has"),
    Rule(code="AM1021", asks="lets no step wait for itself"),
    Rule(code="AM1022", asks="has no circle of steps that wait for each other"),
    # references, hints and conditions
    Rule(code="AM1030", asks="refers to fields that are there"),
    Rule(code="AM1031", asks="gives each parameter a value of its type"),
    Rule(code="AM1032", asks="says where each parameter's value comes from"),
    Rule(code="AM1033", asks="uses parameters that can be given by name"),
    Rule(code="AM1034", asks="has type hints that resolve where the module runs"),
    Rule(code="AM1035", asks="has a type hint for each parameter and each result"),
    Rule(code="AM1036", asks="uses types that can be written as JSON and read back"),
    Rule(code="AM1037", asks="uses references as references: they have no value while a saga is declared"),
    Rule(code="AM1038", asks="has conditions that can be true, built by comparisons"),
    Rule(code="AM1039", asks="takes .maybe of a step that may be skipped, where it is not skipped with it"),
    Rule(code="AM1040", asks="has functions for handlers"),
    Rule(code="AM1041", asks="has read-backs that answer bool, and lookups that answer with the step's result or None"),
    # undo
    Rule(code="AM1050", asks="gives every action an undo, or says that it is irreversible"),
    Rule(code="AM1051", asks="verifies every undo, or says that the participant's reply is to be believed"),
    Rule(code="AM1052", asks="lets an undo use its own step, that step's ancestors and the trigger, nothing else"),
    Rule(code="AM1053", asks="gives an irreversible step no undo"),
    Rule(code="AM1054", asks="has follow-ups for irreversible steps only"),
    Rule(code="AM1055", asks="lets a read-back or a lookup use what is known when it is asked"),
    Rule(code="AM1056", asks="has undos that can run when the step's result was lost", severity="warning"),
    # the pivot
    Rule(code="AM1060", asks="has one pivot at most"),
    Rule(code="AM1061", asks="has every compensatable step before the pivot"),
    Rule(code="AM1062", asks="has every retriable step after the pivot"),
    Rule(code="AM1064", asks="repeats no pivot"),
    Rule(code="AM1063", asks="gives the pivot no undo"),
    # the trigger
    Rule(code="AM1070", asks="has key paths that the trigger's type has"),
    Rule(code="AM1071", asks="names the request by one field and the object by another", severity="warning"),
    Rule(code="AM1072", asks="has key paths that lead to text or an integer"),
    Rule(code="AM1073", asks="has a trigger type with named fields"),
    Rule(code="AM1074", asks="lists writer schemas that are there"),
    # doubt
    Rule(code="AM1080", asks="has participants that can settle doubt, or says why not", severity="warning"),
    # what is pending
    Rule(code="AM1085", asks="says how long what is pending may take"),
    Rule(code="AM1086", asks="lets actions and undos be pending, nothing else, and says so in their hints"),
    Rule(code="AM1087", asks="gives what is pending no longer than it has itself"),
    # whose data it is
    Rule(code="AM1081", asks="names its subject by a field that the trigger's type has"),
    Rule(code="AM1082", asks="names its subject by text or an integer"),
    Rule(code="AM1083", asks="has keys that do not name its subject", severity="warning"),
    Rule(code="AM1084", asks="names a subject where something is to be sealed"),
    Rule(code="AM1088", asks="tells items apart by what names nobody, if it has a subject", severity="warning"),
    # locks
    Rule(code="AM1090", asks="locks by fields that the trigger's type has"),
    Rule(code="AM1091", asks="locks by text or an integer"),
    Rule(code="AM1092", asks="has 16 locks at most"),
    Rule(code="AM1093", asks="has locks that do not name its subject", severity="warning"),
    Rule(code="AM1094", asks="locks what the sagas it calls lock"),
    # waits
    Rule(code="AM1095", asks="waits for keys of text or an integer, and for instants that are times"),
    Rule(code="AM1096", asks="undoes, verifies and looks up what acts, never what waits"),
    Rule(code="AM1097", asks="gives its waits no longer than it has itself"),
    Rule(code="AM1098", asks="says how long it waits for a message"),
    # what is expected
    Rule(code="AM1110", asks="expects 20 things at most"),
    Rule(code="AM1111", asks="expects nothing of a saga that is repeated", severity="warning"),
    # what is read back later
    Rule(code="AM1112", asks="reads back later by a second at least, and by 30 days at most"),
    # loading an app
    Rule(code="AM1100", asks="stands in an APP that is there"),
    Rule(code="AM1101", asks="stands in an APP that can be imported"),
    Rule(code="AM1102", asks="is bound to a name in its APP"),
    Rule(code="AM1103", asks="is asked for by its name and version"),
)

RULES: Final[dict[str, Rule]] = {rule.code: rule for rule in _TABLE}
