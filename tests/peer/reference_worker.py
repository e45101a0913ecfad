"""Puts cases to the reference implementation, as a black box.

Runs in an environment of its own, where ``midigpt`` is that implementation, so nothing of this
repository can be imported here::

    python reference_worker.py CASES ANSWERS

``CASES`` holds JSON lines: first the encoder configs and checkpoint paths, then one case each. One
answer a line goes to ``ANSWERS`` as soon as it is known, because some cases may end the process.
"""

import json
import resource
import sys
from functools import cache
from pathlib import Path

import numpy as np
import torch
from forms import SETTLED, as_dict, packed, runs
from midigpt.inference.planner import plan
from midigpt.tokenizer import Tokenizer, load_checkpoint

from midigpt import Bar, Note, Score, Track, _core
from midigpt.attributes import AttributeAnalyzer
from midigpt.inference import GenerationRequest, InferenceEngine, validate_request
from midigpt.inference.session import TokenLogger

MEMORY = 8 << 30
"""Bytes; what needs more is an error, instead of the end of other programs."""


def score_of(case):
    """The score of a packed record; ``as_dict`` takes the way of the dictionary form."""
    record = case["score"]
    if case.get("as_dict"):
        return Score.from_dict(as_dict(record))
    return Score(
        [
            Track(
                [
                    Bar(
                        [Note(*note) for note in bar["notes"]],
                        *bar["ts"],
                        beat_length=4 * bar["ts"][0] / bar["ts"][1],
                        future=bar.get("future", False),
                    )
                    for bar in track["bars"]
                ],
                track["instrument"],
                track["track_type"],
                dict(track.get("attributes", {})),
            )
            for track in record["tracks"]
        ],
        record["resolution"],
        record["tempo"],
    )


class Log(TokenLogger):
    """Keeps what a session tells its token logger."""

    def __init__(self):
        super().__init__("/dev/null")
        self.steps = []

    def log_context(self, tokens, *_):
        self.steps.append({"prompt": list(tokens), "generated": [], "legal": []})

    def log_token(self, _position, token, _type, _value, _probabilities, legal, *_):
        self.steps[-1]["generated"].append(int(token))
        self.steps[-1]["legal"].append(runs(legal.numpy()))

    def log_grammar_collapse(self, *_, **__):
        self.steps[-1]["legal"].append([])

    def log_step_summary(self, *_, **__):
        pass

    def log_bar_summaries(self, *_, **__):
        pass


class Reference:
    """Answers cases by kind."""

    def __init__(self, setup):
        self._encoders = setup["encoders"]
        self._checkpoints = setup["checkpoints"]
        self.model = cache(lambda name: load_checkpoint(self._checkpoints[name]).model)
        self.engine = cache(lambda name: InferenceEngine.from_checkpoint(self._checkpoints[name]))
        self.tokenizer = cache(self._tokenizer)
        self.vocabulary = cache(self._vocabulary)

    def config(self, encoder):
        return _core.EncoderConfig.from_json(json.dumps(self._encoders[encoder]))

    def _tokenizer(self, encoder):
        config = self.config(encoder)
        return Tokenizer(config, AttributeAnalyzer.from_config(config))

    def _vocabulary(self, encoder):
        config = self.config(encoder)
        analyzer = AttributeAnalyzer.from_config(config)
        config.add_attribute_token_domains(analyzer.token_domain_specs())
        return _core.Vocabulary(config)

    def encode(self, case):
        options = _core.EncodeOptions()
        for name, value in case["options"].items():
            cells = name == "multi_fill"
            setattr(options, name, {tuple(cell) for cell in value} if cells else value)
        tokenizer, score = self.tokenizer(case["encoder"]), score_of(case)
        return {"tokens": tokenizer.encode(score, options, compute_attributes=case["levels"])}

    def decode(self, case):
        return packed(self.tokenizer(case["encoder"]).decode(case["tokens"]))

    def allowed(self, case):
        vocabulary, graph = self.vocabulary(case["encoder"]), _core.ConstraintGraph()
        grammar = _core.GrammarConstraint()
        for name, value in case["options"].items():
            suffix = "_mode" if name == "autoregressive" else ""
            getattr(grammar, f"set_{name}{suffix}")(value)
        graph.add_constraint(grammar)
        for limit in case["limits"]:
            graph.add_constraint(constraint(limit))
        sets = [runs(~np.asarray(graph.get_mask(vocabulary)))]
        for token in case["tokens"]:
            graph.step(token, vocabulary)
            sets.append(runs(~np.asarray(graph.get_mask(vocabulary))))
        return {"sets": sets}

    def levels(self, case):
        analyzer = AttributeAnalyzer.from_config(self.config(case["encoder"]))
        score = score_of(case)
        return {
            "levels": [
                {
                    "track": analyzer.compute_track_tokens(score, t),
                    "bars": [
                        analyzer.compute_bar_tokens(score, t, b) for b in range(len(track.bars))
                    ],
                }
                for t, track in enumerate(score.tracks)
            ],
            "values": analyzer.compute_all(score),
        }

    @torch.inference_mode()
    def logits(self, case):
        model = self.model(case["checkpoint"])
        visible = torch.ones(len(case["prompt"]), dtype=torch.bool)
        for start, end in case["hidden"]:
            visible[start:end] = False
        logits, kv = model(torch.tensor([case["prompt"]]), None, visible)
        answer = {"every": logits[0].logsumexp(-1).tolist(), "last": [logits[0, -1].tolist()]}
        if case.get("way") == "nulled":
            model.kv_null_positions(kv, [tuple(span) for span in case["hidden"]])
            visible = torch.ones_like(visible)
        for token in case["then"]:
            visible = torch.cat((visible, torch.ones(1, dtype=torch.bool)))
            before = kv
            logits, kv = model(torch.tensor([[token]]), before, visible)
            answer["last"].append(logits[0, -1].tolist())
            if case.get("way") == "branch":
                model(torch.tensor([[token ^ 1]]), before, visible)
        return answer

    def plan(self, case):
        engine = self.engine(case["checkpoint"])
        session = engine.session(score_of(case), GenerationRequest.from_dict(case["request"]))
        return planned(session)

    def cells(self, case):
        steps = plan(
            case["selected"],
            case["autoregressive"],
            case["ignore"],
            case["window"],
            bars_per_step=case["bars_per_step"],
            tracks_per_step=case["tracks_per_step"],
            ar_overlap=case["ar_overlap"],
            min_overlap_bars=case["min_overlap"],
        )
        return {
            "steps": [
                [step.start_bar, step.end_bar, step.autoregressive, sorted(step.bars)]
                for step in steps
            ]
        }

    def verdict(self, case):
        config = self.config(case["encoder"])
        analyzer = AttributeAnalyzer.from_config(config)
        request = GenerationRequest.from_dict(case["request"])
        settled = validate_request(request, score_of(case), config, analyzer)
        return {
            "settled": {name: getattr(settled.config, name) for name in SETTLED},
            "bars": {str(prompt.id): list(prompt.bars) for prompt in settled.tracks},
        }

    def generate(self, case):
        engine = self.engine(case["checkpoint"])
        session = engine.session(score_of(case), GenerationRequest.from_dict(case["request"]))
        answer, session.token_logger = planned(session), Log()
        try:
            answer["result"] = packed(session.run())
        except RuntimeError as error:
            answer["failure"] = str(error)
        # a prompt that does not fit is logged too, but nothing is sampled
        steps = session.token_logger.steps
        answer["steps"] = [step for step in steps if step["legal"]]
        answer["unfit"] = [step["prompt"] for step in steps if not step["legal"]]
        return answer | {"truncated": session.truncated, "gen_count": session.gen_count}


def constraint(limit):
    if "polyphony" in limit:
        return _core.PolyphonyConstraint(limit["polyphony"])
    if "density" in limit:
        return _core.DensityConstraint(limit["density"])
    type_ = getattr(_core.TokenType, limit["type"])
    if "bar" in limit:
        place = limit["track"], limit["bar"]
        return _core.BarAttributeValueConstraint(type_, *place, limit["value"])
    return _core.AttributeValueConstraint(type_, limit["value"])


def planned(session):
    return {
        "plan": session.plan_summary(),
        "generated_bars": session.generated_bars,
        "dropped": session.dropped_context,
    }


def main():
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with Path(sys.argv[1]).open() as cases, Path(sys.argv[2]).open("a") as answers:
        reference = Reference(json.loads(cases.readline()))
        for line in cases:
            case = json.loads(line)
            try:
                answer = getattr(reference, case["kind"])(case)
            except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
                answer = {"error": type(error).__name__, "message": str(error)}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
