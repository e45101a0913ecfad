"""Bodies that are as long as a body may be, and meant to cost as much as they can."""

SIZE = 30 * 2**20
SCORE = b'"score":{"tracks":[{"bars":[{},{},{},{}]}]}'
PROMPT = b'{"id":0,"bars":[0]}'
NOTE = b'{"pitch":0,"velocity":0,"onset_ticks":0,"duration_ticks":0}'


def many(unit, count=None):
    """A list of that unit, as long as it fits."""
    return b"[" + b",".join([unit] * (count or SIZE // (len(unit) + 1))) + b"]"


def named(count, member):
    """An object of so many members; ``%d`` in their text is their number."""
    return b"{" + b",".join(member % number for number in range(count)) + b"}"


def in_score(tracks):
    return b'{"score":{"tracks":' + tracks + b'},"request":{"tracks":[' + PROMPT + b"]}}"


def in_bars(bars):
    return in_score(b'[{"bars":' + bars + b"}]")


def in_request(members):
    return b"{" + SCORE + b',"request":{"tracks":[' + PROMPT + b"]," + members + b"}}"


def in_prompt(members):
    return b"{" + SCORE + b',"request":{"tracks":[{"id":0,"bars":[0],' + members + b"}]}}"


def beside(value):
    """As a member that means nothing."""
    return b'{"x":' + value + b"," + SCORE + b',"request":{"tracks":[' + PROMPT + b"]}}"


TOO_LARGE = {
    "bars": lambda: in_bars(many(b"{}", 4_000_000)),
    "tracks": lambda: in_score(many(b"{}", 2_000_000)),
    "tracks with bars": lambda: in_score(many(b'{"bars":[{},{},{},{}]}')),
    "lists for bars": lambda: in_bars(many(b"[]")),
    "prompts": lambda: in_request(b'"tracks":' + many(PROMPT, 1_500_000)),
    "positions": lambda: in_prompt(
        b'"controls":{"rhythm_mask":{"positions":' + many(b'{"pos":0}') + b"}}"
    ),
    "bars to write": lambda: in_prompt(b'"bars":' + many(b"0")),
    "bars with attributes": lambda: in_prompt(b'"bar_attributes":' + named(1_500_000, b'"%d":{}')),
    "nested lists": lambda: b"[" * SIZE,
    "nested objects": lambda: beside(many(b'{"x":' * 60 + b"0" + b"}" * 60)),
    "strings": lambda: beside(many(b'"::"')),
    "names": lambda: beside(named(2_500_000, b'"%d":""')),
}
"""Refused before they are read."""

UNFIT = {
    "bars": lambda: in_bars(many(b"{}", 1_400_000)),
    "notes": lambda: in_bars(b'[{"notes":' + many(NOTE) + b"},{},{},{}]"),
    "attributes": lambda: in_prompt(b'"attributes":' + named(1_400_000, b'"a%d":0')),
    "controls": lambda: in_request(b'"controls":' + named(1_400_000, b'"a%d":0')),
    "lists of lists": lambda: in_request(
        b'"controls":{"x":' + many(many(b"{}", 90), 15_000) + b"}"
    ),
    "settings": lambda: in_request(b'"config":' + named(1_400_000, b'"tem%d":0')),
}
"""Read, and refused before anything is made of them."""

MALFORMED = {
    "note": lambda: in_bars(b'[{"notes":' + many(NOTE, 65_000)[:-1] + b",5]}]"),
    "members of notes": lambda: in_bars(
        b'[{"notes":' + many(NOTE[:-1] + b',"' + b"x" * 500 + b'":1}', 50_000) + b"}]"
    ),
    "integer": lambda: beside(b"1" * SIZE),
    "request_id": lambda: beside(b'0,"request_id":"' + b"x" * SIZE + b'"'),
    "text": lambda: b" " * SIZE + b"\xff",
    "lines": lambda: b"\n" * SIZE + b"x",
}
"""Not a request at all."""

HARMLESS = {
    "names": lambda: beside(named(1_000_000, b'"x%d":0')),
    "members of bars": lambda: in_bars(many(named(40, b'"x%d":0'), 40_000)),
    "floats": lambda: beside(many(b"0.5", 2_900_000)),
    "objects": lambda: beside(many(b"{}", 1_400_000)),
    "string": lambda: beside(b'"' + b"x" * SIZE + "😀".encode() + b'"'),
    "escapes": lambda: beside(b'"' + rb"\n" * (SIZE // 2) + b'"'),
    "digits": lambda: beside(many(b"9" * 4300)),
    "fraction": lambda: beside(b"0." + b"1" * SIZE),
}
"""Full of what means nothing, and otherwise in order."""
