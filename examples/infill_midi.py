"""Let the server rewrite some bars of one track of a MIDI file.

    python examples/infill_midi.py examples/song.mid out.mid --track 1 --bars 4-7

Tracks and bars count from 0, in the order in which ``Score.from_midi`` finds them. The other tracks
and bars are the model's context and are written as they were read: notes, programs, meters and
one tempo. Only plain HTTP is spoken, so this is also the pattern for a client in any language.
"""

from __future__ import annotations

import argparse
import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any

from midigpt import Score
from midigpt.errors import MidiFileError


def bar_range(text: str) -> list[int]:
    """``"4-7"`` or ``"4"`` as a list of bars."""
    first, _, last = text.partition("-")
    bars = list(range(int(first), int(last or first) + 1))
    if not bars:
        raise ValueError(text)
    return bars


def address(text: str) -> str:
    """The address of a server."""
    if not text.startswith(("http://", "https://")):
        raise ValueError(text)
    return text.rstrip("/")


def level(text: str) -> tuple[str, int]:
    """``"note_density=7"`` as a name and a level."""
    name, _, value = text.partition("=")
    return name, int(value)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", help="MIDI file to read")
    parser.add_argument("target", help="MIDI file to write")
    parser.add_argument("--track", type=int, required=True, help="track to rewrite")
    parser.add_argument("--bars", type=bar_range, required=True, help="bars to rewrite, as 4-7")
    parser.add_argument("--url", type=address, default="http://localhost:8000", help="the server")
    parser.add_argument("--temperature", type=float, default=1.0, help="above 1 is more daring")
    parser.add_argument("--seed", type=int, help="repeats an earlier result")
    parser.add_argument(
        "--attribute",
        type=level,
        action="append",
        default=[],
        metavar="NAME=LEVEL",
        help="what the track should be like, as note_density=7; GET /info lists the names",
    )
    return parser.parse_args()


def build_request(score: Score, arguments: argparse.Namespace) -> dict[str, Any]:
    """The body of ``POST /generate``: every track has a prompt, one of them with bars to write."""
    prompts: list[dict[str, Any]] = [{"id": n, "bars": []} for n in range(len(score.tracks))]
    if not 0 <= arguments.track < len(prompts):
        raise SystemExit(f"{arguments.source} has the tracks 0 to {len(prompts) - 1}")
    prompts[arguments.track] |= {"bars": arguments.bars, "attributes": dict(arguments.attribute)}
    config = {
        "model_dim": "auto",  # the longest window that fits the song
        "temperature": arguments.temperature,
        "seed": arguments.seed,
    }
    return {"score": score.to_dict(), "request": {"tracks": prompts, "config": config}}


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send JSON and return the JSON answer; exits with the server's reason if there is one."""
    data = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - checked to be http
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310 - as above
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        try:
            reason = json.loads(text)["detail"]
        except (ValueError, LookupError, TypeError):
            reason = text or error.reason
        raise SystemExit(f"the server refused ({error.code}): {reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise SystemExit(f"no answer from {url}: {error}") from None
    except ValueError:
        raise SystemExit(f"{url} does not answer in JSON; is it a MIDI-GPT server?") from None
    return answer


def main() -> None:
    """Read, ask, put the new bars into the song, write."""
    arguments = parse_arguments()
    track, bars = arguments.track, arguments.bars
    began = time.perf_counter()
    try:
        song = Score.from_midi(arguments.source)
        answer = post(f"{arguments.url}/generate", build_request(song, arguments))
        if answer["score"] is None:
            raise SystemExit(f"nothing was generated: {answer['status']}")
        generated = Score.from_dict(answer["score"])
        song = song.resample(generated.resolution)
        for bar in bars:
            song.tracks[track].bars[bar].notes = generated.tracks[track].bars[bar].notes
        song.to_midi(arguments.target)
    except (OSError, MidiFileError) as error:
        raise SystemExit(str(error)) from None
    notes = sum(len(song.tracks[track].bars[bar].notes) for bar in bars)
    for warning in answer.get("warnings", []):
        print(f"note: {warning}")
    print(f"{arguments.target}: track {track}, bars {bars[0]}-{bars[-1]}, {notes} new notes")
    print(f"seed {answer['seed']}, {time.perf_counter() - began:.1f} seconds")


if __name__ == "__main__":
    main()
