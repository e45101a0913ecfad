import numpy as np
import pytest

from midigpt.inference.prompt import Block
from midigpt.inference.rules import FREE_BAR, LEAST_BAR, Allowed, Ends, MeterKeeper, Room, Rules
from midigpt.tokens.grammar import GrammarTable


@pytest.fixture(scope="session")
def ends(vocabulary):
    return Ends.of(vocabulary)


@pytest.fixture
def everything(vocabulary):
    return np.ones(len(vocabulary), dtype=np.bool_)


def types(vocabulary, mask):
    return {vocabulary.types[token] for token in np.flatnonzero(mask)}


def test_ends_lack_what_the_vocabulary_lacks():
    from midigpt.tokens import EncoderConfig, Vocabulary

    vocabulary = Vocabulary.from_config(EncoderConfig.parse({}))
    ends = Ends.of(vocabulary)
    assert (ends.fill_start, ends.fill_end) == (-1, -1)
    assert ends.track_ends == {vocabulary.offset("TrackEnd")}
    assert ends.bar_ends == {vocabulary.offset("BarEnd")}


class TestRoom:
    def closes_after(self, room, token, mask):
        """How many notes the bar may have before it must end, each of three tokens."""
        for count in range(1000):
            if room.close(mask.copy()):
                return count
            for spelled in [("VelocityLevel", 20), ("NoteOnset", 60), ("NoteDuration", 3)]:
                room.advance(token(*spelled))
        return None

    def test_a_bar_with_the_room_to_itself_uses_it(self, ends, vocabulary, token, everything):
        room = Room(vocabulary, ends, budget=300 + LEAST_BAR, bars=1, later=0)
        assert self.closes_after(room, token, everything) == 100

    def test_bars_to_come_get_their_share(self, ends, vocabulary, token, everything):
        room = Room(vocabulary, ends, budget=4 * (300 + LEAST_BAR), bars=1, later=3)
        assert self.closes_after(room, token, everything) == 100

    def test_an_ordinary_bar_is_not_cut_while_others_can_still_be_written(
        self, ends, vocabulary, token, everything
    ):
        room = Room(vocabulary, ends, budget=FREE_BAR + 4 * LEAST_BAR, bars=2, later=2)
        assert self.closes_after(room, token, everything) == -(-FREE_BAR // 3)

    def test_the_next_bar_shares_what_is_left(self, ends, vocabulary, token, everything):
        room = Room(vocabulary, ends, budget=1000, bars=2, later=0)
        for _ in range(99):
            room.advance(token("NoteDuration", 3))
        room.advance(token("FillInEnd"))
        assert self.closes_after(room, token, everything) == -(-(900 - LEAST_BAR) // 3)

    def test_a_note_counts_with_the_velocity_it_may_need_when_told_again(
        self, ends, vocabulary, token, everything
    ):
        room = Room(vocabulary, ends, budget=3 + LEAST_BAR, bars=1, later=0)
        room.advance(token("NoteOnset", 60))
        room.advance(token("NoteDuration", 3))
        assert room.close(everything)

    def test_only_the_end_is_left(self, ends, vocabulary, everything):
        room = Room(vocabulary, ends, budget=LEAST_BAR, bars=1, later=0)
        assert room.close(everything)
        assert types(vocabulary, everything) == {"BarEnd", "FillInEnd"}

    def test_a_bar_that_cannot_end_yet_goes_on(self, ends, vocabulary, everything):
        everything[[vocabulary.offset("BarEnd"), vocabulary.offset("FillInEnd")]] = False
        before = everything.copy()
        assert not Room(vocabulary, ends, budget=LEAST_BAR, bars=1, later=0).close(everything)
        assert (everything == before).all()

    def test_bars_of_later_steps_give_way(self, ends, vocabulary, token, everything):
        room = Room(vocabulary, ends, budget=30 + 2 * LEAST_BAR, bars=1, later=100)
        alone = Room(vocabulary, ends, budget=30 + 2 * LEAST_BAR, bars=1, later=2)
        closes = self.closes_after(room, token, everything)
        assert closes == self.closes_after(alone, token, everything)
        assert closes is not None

    def test_without_room_for_the_shortest_bars_it_stands_back(
        self, ends, vocabulary, token, everything
    ):
        room = Room(vocabulary, ends, budget=2 * LEAST_BAR - 1, bars=2, later=0)
        assert self.closes_after(room, token, everything) is None


class TestMeterKeeper:
    @pytest.fixture
    def keeper(self, vocabulary, token):
        return MeterKeeper(vocabulary, token("TimeSig", 1))

    def test_a_bar_opens_with_the_meter_of_the_piece(self, keeper, vocabulary, token, everything):
        keeper.advance(token("Bar"))
        keeper.restrict(everything)
        left = types(vocabulary, everything)
        assert not {"NoteOnset", "TimeAbsolutePos", "VelocityLevel", "BarEnd"} & left
        assert [v for v in range(2) if everything[token("TimeSig", v)]] == [1]

    def test_after_the_meter_the_bar_is_free(self, keeper, vocabulary, token, everything):
        keeper.advance(token("Bar"))
        keeper.advance(token("TimeSig", 1))
        keeper.restrict(everything)
        assert {"NoteOnset", "BarEnd"} <= types(vocabulary, everything)

    def test_where_the_meter_is_not_legal_it_does_nothing(self, keeper, token, everything):
        keeper.advance(token("Bar"))
        everything[token("TimeSig", 1)] = False
        before = everything.copy()
        keeper.restrict(everything)
        assert (everything == before).all()

    def test_a_copy_remembers_the_open_bar(self, keeper, vocabulary, token, everything):
        keeper.advance(token("Bar"))
        twin = keeper.copy()
        keeper.advance(token("TimeSig", 1))
        twin.restrict(everything)
        assert "NoteOnset" not in types(vocabulary, everything)


class TestRules:
    @pytest.fixture
    def rules(self, tokenizer, vocabulary, ends):
        """Of a step that fills in a bar of melody, then a 3/4 bar of drums."""
        blocks = [Block(0, 1, drum=False, limit=48), Block(1, 0, drum=True, limit=36)]
        grammar = GrammarTable(tokenizer.config, vocabulary).rules(strict=True)
        room = Room(vocabulary, ends, budget=1000, bars=2, later=0)
        return Rules(grammar.start(), [], [], room, blocks, ends)

    @pytest.fixture
    def read(self, rules, token):
        rules.read([token("PieceStart", 1), token("Track", 1), token("FillInStart")])
        return rules

    def mask(self, rules, everything):
        rules.mask(everything)
        return everything

    def test_a_fill_is_of_the_kind_of_its_track(self, read, vocabulary, token, everything):
        """The prompt's last track is one of drums, but the first bar is one of melody."""
        read.advance(token("NoteOnset", 60))
        assert types(vocabulary, self.mask(read, everything)) == {"NoteDuration"}

    def test_a_fill_is_as_long_as_its_bar(self, read, vocabulary, token, everything):
        for spelled in [("NoteOnset", 60), ("NoteDuration", 3), ("FillInEnd",), ("FillInStart",)]:
            read.advance(token(*spelled))
        mask = self.mask(read, everything)
        positions = np.flatnonzero(mask[vocabulary.span("TimeAbsolutePos")])
        assert (positions.min(), positions.max()) == (0, 35)

    def test_a_finished_fill_leads_to_the_next_one_only(self, read, vocabulary, token, everything):
        for spelled in [("NoteOnset", 60), ("NoteDuration", 3), ("FillInEnd",)]:
            read.advance(token(*spelled))
        assert types(vocabulary, self.mask(read, everything)) == {"FillInStart"}

    def test_it_is_complete_with_its_last_fill(self, read, token):
        read.advance(token("FillInEnd"))
        assert not read.complete(token("FillInEnd"))
        read.advance(token("FillInStart"))
        assert not read.complete(token("FillInStart"))
        read.advance(token("FillInEnd"))
        assert read.complete(token("FillInEnd"))

    def test_a_continuation_is_complete_with_its_track(self, tokenizer, ends, token):
        grammar = GrammarTable(tokenizer.config, tokenizer.vocabulary).rules()
        rules = Rules(grammar.start(), [], [], Room(tokenizer.vocabulary, ends, 10, 1, 0), [], ends)
        assert rules.complete(token("TrackEnd"))
        assert not rules.complete(token("BarEnd"))

    def test_constraints_only_take_away(self, rules, vocabulary, token, everything):
        allowed = everything.copy()
        allowed[vocabulary.span("NoteOnset")] = False
        rules = rules.copy()
        rules.watching = [Allowed(allowed)]
        rules.read([token("FillInStart")])
        left = types(vocabulary, self.mask(rules, everything))
        assert "NoteOnset" not in left
        assert "VelocityLevel" in left

    def test_copies_go_their_own_way(self, read, vocabulary, token, everything):
        twin = read.copy()
        twin.advance(token("NoteOnset", 60))
        assert "NoteOnset" in types(vocabulary, self.mask(read, everything))
        assert types(vocabulary, self.mask(twin, everything)) == {"NoteDuration"}

    def test_a_copy_may_get_a_further_rule(self, read, vocabulary, everything):
        allowed = everything.copy()
        allowed[vocabulary.span("VelocityLevel")] = False
        twin = read.copy(first=Allowed(allowed))
        assert "VelocityLevel" not in types(vocabulary, self.mask(twin, everything))
        assert "VelocityLevel" in types(vocabulary, self.mask(read, everything))
