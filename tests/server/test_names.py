import pytest

from midigpt.server.names import as_name, is_name


@pytest.mark.parametrize("name", ["a", "A-z_0.9:~", "...", "x" * 128])
def test_names(name):
    assert is_name(name)
    assert as_name(name) == name


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "é", "a b", "a\n", "x" * 129, 5, None])
def test_what_is_no_name(text):
    assert not is_name(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [("my best  model", "my_best_model"), ("Lumière", "Lumi_re"), ("..", "model"), ("", "model")],
)
def test_names_made_of_other_texts(text, name):
    assert as_name(text) == name
    assert is_name(as_name("x" * 200))
