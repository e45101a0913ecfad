"""Which controls of the piece, of tracks and of bars may be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midigpt.inference.controls import PitchMask, Remix, RhythmMask
from midigpt.inference.reading import Place, listed, meant, reject, shown, spelled
from midigpt.inference.validate_score import shown_meter
from midigpt.inference.validate_tracks import check_targets, is_whole
from midigpt.tokens import Genres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from midigpt.inference.request import InferenceConfig, TrackPrompt
    from midigpt.score import Bar, Track
    from midigpt.tokens import EncoderConfig

_SHAPING = ("pitch_mask", "rhythm_mask", "remix")
_OF_TRACK = ("time_signature", *_SHAPING)
_OF_PIECE = ("velocity", "microtiming", "genre")


def check_piece_controls(controls: Mapping[str, Any], encoder: EncoderConfig) -> None:
    """Check the controls of the whole piece.

    Raises:
        RequestValidationError: one is unknown, or the checkpoint cannot do it.
    """
    for name, value in controls.items():
        place = Place("controls").at(name)
        if name == "velocity":
            on = "VelocityLevel" in dict(encoder.domains)
            _check_switch(value, place, on=on, off=encoder.switchable_velocity)
        elif name == "microtiming":
            off = encoder.switchable_microtiming
            _check_switch(value, place, on=encoder.emit_delta_tokens or off, off=off)
        elif name == "genre":
            _check_genre(value, place, Genres(encoder.genre_groups or {}))
        else:
            hint = meant(name, _OF_PIECE)
            reject(place, f"is unknown; it must be one of {listed(_OF_PIECE)}{hint}")


def _check_switch(value: object, place: Place, *, on: bool, off: bool) -> None:
    if not isinstance(value, bool):
        reject(place, f"is {shown(value)}; it must be true or false")
    if not (on if value else off):
        word = shown(value).lower()
        reject(place, f"is {word}, which this checkpoint cannot do; it must be left out")


def _check_genre(value: object, place: Place, genres: Genres) -> None:
    if not genres.names:
        reject(place, f"is {shown(value)}; this checkpoint has no genres, it must be left out")
    if not (isinstance(value, str) and genres.contains(value)):
        reject(place, f"is {shown(value)}; it must be one of {listed(genres.names)}")


class TrackControls:
    """Checks the controls of one track after the other.

    Args:
        config: our copy of the settings; controls that work on one track at a time set
            ``tracks_per_step`` if it was left open.
        encoder: the encoder config.
    """

    def __init__(self, config: InferenceConfig, encoder: EncoderConfig) -> None:
        sizes, lowest = dict(encoder.domains), encoder.lowest_pitch
        self._config = config
        self._meters = encoder.time_signatures or ()
        self._pitches = range(lowest, lowest + sizes.get("NoteOnset", 0))
        self._positions = sizes.get("TimeAbsolutePos", 0)
        self._asked: dict[int, int] = {}

    def settle_bars(self, prompt: TrackPrompt, place: Place, track: Track) -> None:
        """Check the controls of single bars.

        Raises:
            RequestValidationError: one is unknown, does not fit the score or another track's, or
                is for a bar that is not to be written.
            TypeError: a meter is no integer.
        """
        place = place.at("bar_controls")
        check_targets(prompt.bar_controls, prompt, place, len(track.bars))
        for bar, controls in prompt.bar_controls.items():
            for name, value in controls.items():
                where = place.at(bar).at(name).on(bar)
                if name in _SHAPING:
                    reject(where, "acts on tracks, not on bars; it belongs in controls")
                if name != "time_signature":
                    reject(where, "is unknown; it must be time_signature")
                controls[name] = self._meter(value, where)
                self._check_agreement(controls[name], where, bar, track.bars[bar])

    def settle_track(self, prompt: TrackPrompt, place: Place) -> None:
        """Check the controls of the track.

        Raises:
            RequestValidationError: one is unknown or malformed, excludes another one or a setting,
                or the checkpoint cannot do it.
            TypeError: a meter is no integer.
        """
        for name, value in prompt.controls.items():
            where = place.at("controls").at(name)
            if prompt.ignore and name in _SHAPING:
                reject(where, "is for an ignored track; it must be left out")
            if name == "time_signature":
                prompt.controls[name] = self._meter(value, where)
            elif name == "pitch_mask":
                self._check_pitch_mask(value, where)
            elif name == "rhythm_mask":
                self._check_rhythm_mask(value, where)
            elif name == "remix":
                self._check_remix(value, where, prompt)
            else:
                hint = meant(name, _OF_TRACK)
                reject(where, f"is unknown; it must be one of {listed(_OF_TRACK)}{hint}")

    def warnings(self, prompt: TrackPrompt, place: Place) -> Iterator[str]:
        """What may be asked for but does nothing."""
        if is_whole(prompt):
            return
        asked = [place.at("controls")] if "time_signature" in prompt.controls else []
        asked += [
            place.at("bar_controls").at(bar).on(bar)
            for bar, controls in prompt.bar_controls.items()
            if "time_signature" in controls
        ]
        for where in asked:
            yield (
                f"{where.at('time_signature')} does nothing on this track: it acts only on tracks"
                " that are written autoregressively from bar 0 on"
            )

    def _meter(self, value: object, place: Place) -> int:
        index, count = spelled(value, place), len(self._meters)
        if not self._meters:
            reject(place, f"is {shown(index)}; this checkpoint has no meters, it must be left out")
        if not 0 <= index < count:
            reject(place, f"is {shown(index)}; it must be in 0..{count - 1}, an index of a meter")
        return index

    def _check_agreement(self, index: int, place: Place, bar: int, own: Bar) -> None:
        earlier = self._asked.setdefault(bar, index)
        if earlier != index:
            reject(place, f"is {index}; it must be {earlier}, as an earlier track has it")
        meter, actual = self._meters[index], (own.ts_numerator, own.ts_denominator)
        if meter != actual:
            reject(
                place,
                f"is {index}, {shown_meter(meter)}; it must be the bar's own meter,"
                f" {shown_meter(actual)}",
            )

    def _check_pitch_mask(self, value: object, place: Place) -> None:
        mask = PitchMask.parse(value, place)
        if mask != PitchMask() and not mask.leaves(self._pitches):
            have = f"{self._pitches.start}..{self._pitches.stop - 1}" if self._pitches else "none"
            reject(place, f"leaves no pitch that this checkpoint has ({have})")

    def _check_rhythm_mask(self, value: object, place: Place) -> None:
        mask = RhythmMask.parse(value, place)
        self._need_positions(place)
        for tick, _ in mask.positions or ():
            if tick >= self._positions:
                last = self._positions - 1
                reject(place.at("positions"), f"has pos {shown(tick)}; it must be in 0..{last}")
        if mask.positions:
            self._settle_one_track(place.at("positions"))

    def _check_remix(self, value: object, place: Place, prompt: TrackPrompt) -> None:
        Remix.parse(value, place)
        if "rhythm_mask" in prompt.controls:
            reject(place, "cannot be used together with rhythm_mask; one of them must be left out")
        self._need_positions(place)
        self._settle_one_track(place)

    def _need_positions(self, place: Place) -> None:
        if not self._positions:
            reject(place, "needs TimeAbsolutePos tokens; this checkpoint has none")

    def _settle_one_track(self, place: Place) -> None:
        tracks = self._config.tracks_per_step
        if tracks == 0:
            self._config.tracks_per_step = 1
        elif tracks != 1:
            reject(
                place,
                f"works on one track at a time; config.tracks_per_step is {shown(tracks)}, it must"
                ' be 1 or "auto"',
            )
