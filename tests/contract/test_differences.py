"""Where we do better than the reference, row by row, and what shows it.

The rows are those of the table "Reference versus ours" of the interface. What shows them is a test,
``FILE::NAME`` below ``tests``, or a recorded case, ``FILE-NAME``, that ``test_http.py`` or
``test_cli.py`` runs.
"""

import ast
from pathlib import Path

import pytest

from tests.contract.vectors import load, needs_vectors

ROWS = {
    0: ["contract/test_scenarios.py::test_seed_curl_40_times", "success-seed_curl_example"],
    1: [
        "contract/test_scenarios.py::test_one_note_freezes_server_onset_ticks",
        "contract/test_scenarios.py::test_one_note_freezes_server_duration_ticks",
    ],
    2: ["score-note_pitch_null", "score-resolution_string", "score-bars_list_of_strings"],
    3: ["config-temperature_string", "config-top_k_null", "config-config_null"],
    4: ["track_prompts-bars_list_of_strings", "track_prompts-attribute_value_string"],
    5: ["transport-nan_literal", "transport-overflowing_float", "transport-nan_in_note"],
    6: ["envelope-missing_score", "transport-not_json", "transport-empty_body"],
    7: ["contract/test_scenarios.py::test_error_echoes_body"],
    8: ["transport-body_50mb", "e2e/test_limits.py::test_a_body_over_the_limit"],
    9: ["transport-content_type_text_plain", "transport-content_type_missing"],
    10: ["envelope-request_id_crlf"],
    11: ["envelope-request_id_unicode", "envelope-request_id_lone_surrogate"],
    12: ["envelope-request_id_slash", "envelope-request_id_20000_chars"],
    13: ["contract/test_scenarios.py::test_duplicate_request_id"],
    14: ["config-mask_mode_unknown", "config-mask_mode_null"],
    15: ["score-track_type_plural", "score-track_type_number"],
    16: ["score-pitch_minus_1", "score-velocity_128"],
    17: ["score-resolution_0", "score-resolution_100000000"],
    18: ["score-ts_numerator_0"],
    19: ["score-tempo_0", "score-tempo_minus_480"],
    20: ["config-max_attempts_value_1000000000"],
    21: ["score-many_notes_20000"],
    22: ["controls-pitch_mask_bad_shape_excludes_everything"],
    23: ["controls-pitch_mask_bad_pitches_null", "controls-rhythm_mask_bad_grid_list"],
    24: ["controls-pitch_mask_bad_shape_std_zero", "controls-rhythm_mask_bad_polyphony_huge"],
    25: ["contract/test_scenarios.py::test_preparation_blocks_server"],
    26: [
        "contract/test_scenarios.py::test_client_leaves_queued_stream",
        "contract/test_scenarios.py::test_leaked_slots_shrink_the_queue",
    ],
    27: ["contract/test_scenarios.py::test_client_leaves_queued_plain"],
    28: ["contract/test_scenarios.py::test_cancel_queued"],
    29: [
        "contract/test_scenarios.py::test_max_parallel_mixed_windows",
        "e2e/test_load.py::test_results_do_not_depend_on_what_else_is_going_on",
    ],
    30: ["contract/test_scenarios.py::test_idle_timeout_during_generation"],
    31: ["contract/test_scenarios.py::test_max_generation_seconds"],
    32: ["server/test_stream.py::test_silence_is_broken_by_comments"],
    33: ["e2e/test_streams.py::test_a_step_that_starts_over_says_so"],
    34: ["contract/test_scenarios.py::test_queue_full_and_cheap_requests"],
    35: ["contract/test_scenarios.py::test_queue_full_and_cheap_requests"],
    36: ["contract/test_scenarios.py::test_body_stalls"],
    37: [
        "server/test_failures.py::test_nothing_is_written_unless_asked_for",
        "server/test_failures.py::test_the_file_does_not_grow_for_ever",
    ],
    38: ["meta-health_head"],
    39: [
        "config-model_dim_value_4.0",
        "track_prompts-bars_integral_float",
        "score-note_pitch_integral_float",
    ],
    40: ["cli-max_queue_0"],
    41: ["cli-port_70000"],
    42: ["cli-port_in_use", "cli-host_bad"],
    43: ["cli-ckpt_garbage_safetensors", "cli-config_missing_file", "cli-device_cuda_absent"],
    44: ["model/test_hub.py::test_the_best_match_is_downloaded"],
    45: ["model/test_checkpoint.py::test_nothing_in_a_bundle_is_executed"],
    46: ["e2e/test_server.py::test_what_is_ignored_is_named"],
    47: ["server/test_openapi.py::test_members_are_described_with_types_ranges_and_defaults"],
}
NAMES = sorted({name for names in ROWS.values() for name in names})
TESTS = Path(__file__).parents[1]


def functions(file):
    """The names of the functions of a module."""
    body = ast.parse((TESTS / file).read_text()).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_row_is_there():
    assert list(ROWS) == list(range(48))


@pytest.mark.parametrize("name", [name for name in NAMES if "::" in name])
def test_the_test_is_there(name):
    file, _, test = name.partition("::")
    assert test in functions(file)


@needs_vectors
@pytest.mark.parametrize("name", [name for name in NAMES if "::" not in name])
def test_the_case_is_there(name):
    file, _, case = name.partition("-")
    assert case in {case["name"] for case in load(f"http/{file}.json")["cases"]}
