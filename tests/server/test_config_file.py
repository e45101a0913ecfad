import pytest

from midigpt.server.config_file import read
from midigpt.server.names import NAME_RULE
from midigpt.server.preflight import StartError


@pytest.fixture
def written(tmp_path):
    """Reads a text as a file; the complaint has its path replaced."""

    def reader(text):
        path = tmp_path / "models.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read(str(path))

    return reader


def refusal(written, text):
    with pytest.raises(StartError) as caught:
        written(text)
    path, _, complaint = str(caught.value).partition("models.yaml: ")
    assert path.startswith("/")
    assert "\n" not in complaint
    return complaint


ONE = "models: [{id: a, ckpt: x.pt}]"


def test_what_is_left_out_is_none(written):
    file = written(f"host:\n{ONE}")
    assert file.model_dump(exclude_none=True) == {"models": [{"id": "a", "ckpt": "x.pt"}]}


def test_tokens_are_not_shown(written):
    file = written("hf_token: secret\nmodels: [{id: a, pretrained: b, hf_token: secret}]")
    assert (file.hf_token, file.models[0].hf_token) == ("secret", "secret")
    assert "secret" not in repr(file)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(StartError, match=r"^--config none.yaml: No such file or directory$"):
        read("none.yaml")
    with pytest.raises(StartError, match=r": Is a directory$"):
        read(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("models: [", "is not YAML from line 1, column 10 on"),
        ("a: b: c", "is not YAML from line 1, column 5 on"),
        ("!!python/name:os.system", "is not YAML from line 1, column 1 on"),
        (b"a: \xff", "is not YAML"),
        ("port: 2020-99-99", "is not YAML"),
        ("", "must be a mapping with the key models"),
        ("- a", "must be a mapping with the key models"),
        ("port: 1", "models is missing"),
        ("models:", "models is missing"),
        ("models: []", "models must be a list of at least one model"),
        ("models: {a: 1}", "models must be a list of at least one model"),
        ("models: [x.pt]", "models[0] must be a mapping"),
        ("models: [{id: a, ckpt: x.pt}, {ckpt: x.pt}]", "models[1].id is missing"),
        ("models: [{id: 1, ckpt: x.pt}]", f"models[0].id must be a string: {NAME_RULE}"),
        ("models: [{id: a/b, ckpt: x.pt}]", f"models[0].id must be a string: {NAME_RULE}"),
        ("models: [{id: a, ckpt: 1}]", "models[0].ckpt must be a string"),
        (
            "models: [{id: a, ckpt: x.pt, max_parallel: 0}]",
            "models[0].max_parallel must be an integer, at least 1",
        ),
        (
            "models: [{id: a, ckpt: x.pt, device: abacus}]",
            "models[0].device must be cpu, cuda, cuda:N, mps or auto",
        ),
        ("models: [{id: a, pretrained: b, hf_token: 5}]", "models[0].hf_token must be a string"),
    ],
)
def test_wrong_files(written, text, complaint):
    assert refusal(written, text) == complaint


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("host: 5", "host must be a host name or an address"),
        ('host: ""', "host must be a host name or an address"),
        ("port: http", "port must be an integer from 0 to 65535"),
        ('port: "80"', "port must be an integer from 0 to 65535"),
        ("port: 70000", "port must be an integer from 0 to 65535"),
        ("port: true", "port must be an integer from 0 to 65535"),
        ("idle_timeout: soon", "idle_timeout must be a number of seconds, at least 0"),
        ("idle_timeout: -1", "idle_timeout must be a number of seconds, at least 0"),
        ("idle_timeout: .inf", "idle_timeout must be a number of seconds, at least 0"),
        ("log_level: LOUD", "log_level must be DEBUG, INFO, WARNING or ERROR"),
        ("log_level: off", "log_level must be DEBUG, INFO, WARNING or ERROR"),
        ("max_queue: 0", "max_queue must be an integer, at least 1"),
        ("max_queue: 1.5", "max_queue must be an integer, at least 1"),
        ("max_parallel: many", "max_parallel must be an integer, at least 1"),
        (
            "max_generation_seconds: [1]",
            "max_generation_seconds must be a number of seconds, at least 0",
        ),
        ("max_body_bytes: 1023", "max_body_bytes must be an integer, at least 1024"),
        ("device: gpu", "device must be cpu, cuda, cuda:N, mps or auto"),
        ("precision: half", "precision must be auto, fp32, fp16, bf16 or int8"),
        ("precision: 16", "precision must be auto, fp32, fp16, bf16 or int8"),
        ("hf_repo: 5", "hf_repo must be a string"),
        ("default_model: [a]", "default_model must be a string"),
    ],
)
def test_wrong_values(written, text, complaint):
    assert refusal(written, f"{text}\n{ONE}") == complaint


def test_keys_that_mean_nothing(written):
    file = written("1: 2\nmodels: [{id: a, pretrained: b, hf_filename: c, on: x}]")
    assert list(file.ignored()) == ["1", "models[0].True"]
