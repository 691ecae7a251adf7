import pytest

from pipelines.endpoint.llama_cpp import has_llama_cpp, llama_server
from pipelines.errors import UserError

needs_llama_cpp = pytest.mark.skipif(not has_llama_cpp(), reason="xllamacpp is not installed (extra gguf)")


@needs_llama_cpp
def test_a_file_that_llama_cpp_does_not_read_is_refused_with_its_reason(tmp_path):
    (tmp_path / "model.gguf").write_text("no model")
    with pytest.raises(UserError, match=r"does not load .*model\.gguf: .*magic"), llama_server(tmp_path / "model.gguf"):
        pass


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"xllamacpp.*not installed.*\[gguf\]"), llama_server(tmp_path / "model.gguf"):
        pass
