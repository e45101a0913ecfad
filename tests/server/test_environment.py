import pytest

from midigpt.server.environment import with_environment
from midigpt.server.preflight import StartError
from midigpt.server.settings import Settings

CKPT = {"MIDIGPT_CKPT": "theirs.pt"}
TAG = "mine:v1"


def test_nothing_anywhere():
    environ = {"PATH": "/bin", "MIDIGPT_CKPT": "", "MIDIGPT_API_KEY": "secret"}
    assert with_environment(Settings(), environ) == Settings()


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - {"address"}))
def test_each_setting_has_its_variable(name):
    values = {"device": "cuda:1", "precision": "fp32", "log_level": "debug"}
    value = {**values, "max_body_bytes": "2048"}.get(name, "3")
    environ = {f"MIDIGPT_{name.upper()}": value}
    assert with_environment(Settings(), environ) == Settings(**{name: value})


def test_the_address_is_not_for_others_to_tell():
    assert with_environment(Settings(), {"MIDIGPT_ADDRESS": "http://x"}) == Settings()


def test_what_was_given_stays():
    environ = {"MIDIGPT_MAX_QUEUE": "3", "MIDIGPT_DEVICE": "cuda"}
    assert with_environment(Settings(max_queue=5), environ) == Settings(max_queue=5, device="cuda")


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("MIDIGPT_MAX_QUEUE", "many", "Input should be a valid integer"),
        ("MIDIGPT_MAX_QUEUE", "0", "Input should be greater than or equal to 1"),
        ("MIDIGPT_DEVICE", "abacus", "String should match pattern"),
    ],
)
def test_a_value_that_makes_no_sense(variable, value, complaint):
    with pytest.raises(StartError, match=f"^{variable}={value}: {complaint}"):
        with_environment(Settings(), {variable: value})


# which model


def test_a_packed_model_comes_before_the_built_in_one():
    assert with_environment(Settings(), {}, TAG) == Settings(bento_model=TAG)


def test_the_environment_comes_before_a_packed_model():
    assert with_environment(Settings(), CKPT, TAG) == Settings(ckpt="theirs.pt")


@pytest.mark.parametrize(
    "given", [{"ckpt": "own.pt"}, {"pretrained": "yellow"}, {"bento_model": "own"}, {"config": "x"}]
)
def test_a_flag_or_an_argument_comes_before_all(given):
    environ = {**CKPT, "MIDIGPT_HF_REPO": "they/theirs"}
    assert with_environment(Settings(**given), environ, TAG) == Settings(**given)


def test_a_file_in_a_repository():
    environ = {"MIDIGPT_PRETRAINED": "me/mine", "MIDIGPT_HF_FILENAME": "x.pt"}
    expected = Settings(pretrained="me/mine", hf_filename="x.pt")
    assert with_environment(Settings(), environ, TAG) == expected


def test_two_models_are_left_to_be_refused():
    both = {"MIDIGPT_CKPT": "a.pt", "MIDIGPT_PRETRAINED": "yellow"}
    assert with_environment(Settings(), both) == Settings(ckpt="a.pt", pretrained="yellow")
