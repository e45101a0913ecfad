import pytest

from midigpt.inference.request import GenerationRequest, InferenceConfig
from tests.inference.asking import ask, refusal, settled, song, warnings


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_dim": 5}, 'config.model_dim is 5; it must be one of 2, 4, or "auto"'),
        ({"bars_per_step": -1}, "config.bars_per_step is -1; it must be positive"),
        (
            {"bars_per_step": 3, "model_dim": 2},
            "config.bars_per_step is 3; it must be at most config.model_dim, which is 2",
        ),
        ({"tracks_per_step": -1}, "config.tracks_per_step is -1; it must be positive"),
        ({"ar_overlap": -0.1}, "config.ar_overlap is -0.1; it must be at least 0 and below 1"),
        ({"ar_overlap": 1}, "config.ar_overlap is 1.0"),
        ({"context": "none"}, 'config.context is "none"; it must be one of auto, listed, all'),
        ({"context": 3}, "config.context is 3"),
        ({"context_drop": [0, 7]}, "config.context_drop has [7]; it must be ids of prompts: 0, 1"),
        ({"context_keep": [2]}, "config.context_keep has [2]"),
        ({"budget_margin": 0.99}, "config.budget_margin is 0.99; it must be at least 1"),
        ({"min_overlap_bars": -1}, "config.min_overlap_bars is -1; it must be at least 0"),
        ({"max_attempts": 0}, "config.max_attempts is 0; it must be in 1..100"),
        ({"max_attempts": 101}, "config.max_attempts is 101"),
        ({"num_candidates": 0}, "config.num_candidates is 0; it must be in 1..16: each costs"),
        ({"num_candidates": 17}, "config.num_candidates is 17"),
        ({"temperature": 0}, "config.temperature is 0.0; it must be above 0"),
        ({"infill_probability": 0}, "config.infill_probability is 0.0; it must be above 0 and at"),
        ({"infill_probability": 1.01}, "config.infill_probability is 1.01"),
        ({"temperature_escalation": 0.5}, "config.temperature_escalation is 0.5; it must be at"),
        ({"top_p": 0}, "config.top_p is 0.0; it must be above 0 and at most 1; 1.0 turns it off"),
        ({"top_p": 1.5}, "config.top_p is 1.5"),
        ({"novelty_threshold": 0}, "config.novelty_threshold is 0.0; it must be above 0 and at"),
        ({"novelty_threshold": 1.5}, "config.novelty_threshold is 1.5"),
        ({"mask_p": -0.1}, "config.mask_p is -0.1; it must be at least 0 and below 1; 0 turns it"),
        ({"mask_p": 1}, "config.mask_p is 1.0"),
        ({"top_k": -1}, "config.top_k is -1; it must be at least 0; 0 turns it off"),
        ({"mask_k": -1}, "config.mask_k is -1; it must be at least 0; 0 turns it off"),
        ({"mask_p": 0.5, "top_p": 0.5}, "config.mask_p is 0.5; it must be below config.top_p, 0.5"),
        ({"mask_k": 3, "top_k": 3}, "config.mask_k is 3; it must be below config.top_k, 3"),
        ({"polyphony_hard_limit": 2**31}, "config.polyphony_hard_limit is 2147483648; it must be"),
        ({"density_hard_limit": 2**31}, "config.density_hard_limit is 2147483648; it must be at"),
        ({"seed": 2**63}, "config.seed is 9223372036854775808; it must be at most 922337203685477"),
        ({"mask_mode": "bogus"}, 'config.mask_mode is "bogus"; it must be one of auto, attention'),
        ({"mask_mode": []}, "config.mask_mode is []"),
        ({"mask_mode": "token"}, 'config.mask_mode is "token"; it must be one of auto, attention'),
    ],
)
def test_settings_that_are_refused(config, message):
    assert refusal(ask(config=config)).startswith(message)


@pytest.mark.parametrize(
    "config",
    [
        {"bars_per_step": 0, "tracks_per_step": 9},
        {"ar_overlap": 0, "min_overlap_bars": 10**18},
        {"context": "listed", "context_drop": [1], "context_keep": [1]},
        {"max_attempts": 100, "num_candidates": 16, "budget_margin": 1e9},
        {"top_p": 1e-9, "top_k": 10**12, "mask_k": 5},
        {"top_p": 1, "mask_p": 0.999},
        {"top_k": 0, "mask_k": 5},
        {"top_p": 0.5, "mask_p": 0},
        {"polyphony_hard_limit": -1, "density_hard_limit": 2**31 - 1},
        {"seed": 2**63 - 1},
        {"seed": -(10**30)},
        {"temperature": 1e-300},
        {"temperature": 1e308},
    ],
)
def test_settings_at_the_edge_are_accepted(config):
    changed = settled(ask(config=config)).config
    assert changed == InferenceConfig(**({"mask_mode": "attention"} | config))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_dim": "x"}, 'config.model_dim is "x"; it must be an integer'),
        ({"bars_per_step": None}, "config.bars_per_step is null; it must be an integer"),
        ({"top_k": 1.5}, "config.top_k is 1.5; it must be an integer"),
        ({"temperature": "hot"}, 'config.temperature is "hot"; it must be a finite number'),
        ({"temperature": float("nan")}, "config.temperature is nan"),
        ({"top_p": 10**400}, "config.top_p is 1000"),
        ({"shuffle": "no"}, 'config.shuffle is "no"; it must be true or false'),
        ({"context_drop": ["0"]}, 'config.context_drop[0] is "0"; it must be an integer'),
        ({"context_keep": 1}, "config.context_keep is 1; it must be a list of integers"),
    ],
)
def test_settings_of_the_wrong_type(config, message):
    assert refusal(ask(config=config), error=TypeError).startswith(message)


@pytest.mark.parametrize("asked", ["auto", None, 0, -4])
@pytest.mark.parametrize(("bars", "window"), [(2, 2), (3, 2), (4, 4), (9, 4)])
def test_the_window_is_the_largest_that_fits(asked, bars, window):
    assert settled(ask(config={"model_dim": asked}), song(bars)).config.model_dim == window


def test_the_smallest_window_is_tried_on_a_score_that_is_shorter():
    message = refusal(ask(config={"model_dim": "auto"}), song(1))
    assert message.startswith("config.model_dim is 2, but the score has only 1 bars")


def test_without_listed_windows_any_will_do():
    anything = {"num_bars_map": None}
    assert settled(ask(config={"model_dim": "auto"}), song(7), anything).config.model_dim == 7
    assert settled(ask(config={"model_dim": 3}), song(7), anything).config.model_dim == 3
    message = refusal(ask(config={"model_dim": 8}), song(7), anything)
    assert message.endswith("(those of this checkpoint: any)")


def test_auto_may_also_be_set_later():
    request = GenerationRequest.from_dict(ask())
    request.config.bars_per_step = request.config.model_dim = "auto"
    config = settled(request).config
    assert (config.bars_per_step, config.model_dim) == (0, 4)


def test_a_steep_escalation_is_cut():
    request = ask(config={"temperature_escalation": 9})
    assert settled(request).config.temperature_escalation == 3
    assert warnings(request) == ["config.temperature_escalation is 9.0; 3.0 is used"]
    assert warnings(ask(config={"temperature_escalation": 3})) == []


def test_bars_are_hidden_by_a_token_where_there_is_one():
    masking = {"supports_mask_bar_token": True}
    assert settled(ask(), None, masking).config.mask_mode == "token"
    assert settled(ask(config={"mask_mode": "token"}), None, masking).config.mask_mode == "token"
    assert settled(ask(config={"mask_mode": "remove"}), None, masking).config.mask_mode == "remove"
