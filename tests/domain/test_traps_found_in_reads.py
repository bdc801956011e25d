"""Owns files that code opens by a literal path: they count without being declared, once, and what is written does not;
refuses git."""

from __future__ import annotations

import pytest

from service.adapters.reading import IsolatedReader
from service.domain.pipeline import Component, Pipeline, RepositoryInput
from service.domain.step_key import PartKind
from tests.builders import Link
from tests.judge import SCRIPT, Judge
from tests.planning import assessed, manifest, part_values, single


@pytest.fixture
def judge(reader: IsolatedReader) -> Judge:
    return Judge(reader)


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ("open('conf/v.txt').read()", "conf/v.txt"),
        ("open('./conf/v.txt', 'r+')", "conf/v.txt"),
        ("open(mode='rb', file='conf/v.txt')", "conf/v.txt"),
        ("Path('conf/v.txt').read_text()", "conf/v.txt"),
        ("Path('conf', 'v.txt').open()", "conf/v.txt"),
        ("(Path(__file__).parent / 'v.txt').read_text()", "src/v.txt"),
        ("open(os.path.join(os.path.dirname(__file__), 'v.txt'))", "src/v.txt"),
        ("(Path(__file__).resolve().parent.parent / 'conf' / 'v.txt').read_bytes()", "conf/v.txt"),
        ("ROOT = Path(__file__).parents[1]\nROOT.joinpath('conf', 'v.txt').read_text()", "conf/v.txt"),
        ("NAME = 'conf/v.txt'\nopen(NAME)", "conf/v.txt"),
        ("NAME: str = 'conf/v.txt'\nopen(NAME)", "conf/v.txt"),
        ("def f(path='conf/v.txt'): return open(path)", "conf/v.txt"),
        ("def f(*, path='conf/v.txt'): return open(path)", "conf/v.txt"),
        ("if Path('conf/flag.on').exists(): f()", "conf/flag.on"),
        ("NAME = 'conf/v.txt'\nif debug: NAME = 'conf/small.txt'\nopen(NAME)", "conf/small.txt"),
        ("NAME = 'conf/v.txt'\nNAME = compute()\nopen(NAME)", "conf/v.txt"),
        ("open('conf/v.txt' if x else 'conf/w.txt')", "conf/w.txt"),
        ("Path(path or 'conf/v.txt').read_text()\nopen(path or 'conf/w.txt')", "conf/w.txt"),
        ("NAME = NAME or 'conf/v.txt'\nNAME = NAME\nopen(NAME)", "conf/v.txt"),
        ("pd.read_csv('conf/v.csv')", "conf/v.csv"),
        ("pd.read_csv(filepath_or_buffer='conf/v.csv')", "conf/v.csv"),
        ("np.loadtxt('conf/v.txt')", "conf/v.txt"),
        ("OmegaConf.load('conf/v.yaml')", "conf/v.yaml"),
        ("load_dotenv('conf/v.env')", "conf/v.env"),
        ("load_dataset('csv', data_files=['conf/v.csv'])", "conf/v.csv"),
        ("configparser.ConfigParser().read(['conf/v.ini'])", "conf/v.ini"),
        ("sqlite3.connect('conf/v.db')", "conf/v.db"),
        ("ctypes.CDLL('./libx.so')", "libx.so"),
        ("load(name='x', sources=['csrc/x.cpp'])", "csrc/x.cpp"),
        ("pkgutil.get_data('pkg', 'v.txt')", "src/pkg/v.txt"),
        ("files('pkg').joinpath('v.txt').read_text()", "src/pkg/v.txt"),
        ("(importlib.resources.files('pkg') / 'deep' / 'v.txt').open()", "src/pkg/deep/v.txt"),
        ("as_file(files('pkg') / 'v.txt')", "src/pkg/v.txt"),
        ("files(__package__).joinpath('v.txt').read_text()", "src/v.txt"),
        ("pkg_resources.resource_filename(__name__, 'v.txt')", "src/v.txt"),
        ("glob.glob('conf/*.txt')", "conf/v.txt"),
        ("glob.glob('*.txt')", "v.txt"),
        ("Path('conf').rglob('*.txt')", "conf/deep/v.txt"),
        ("os.listdir('conf')", "conf/v.txt"),
        ("for one in Path('conf').iterdir(): f()", "conf/v.txt"),
        ("Environment(loader=FileSystemLoader('templates')).get_template(name)", "templates/v.txt"),
        ("import hydra\n@hydra.main(config_path='conf', config_name='c')\ndef f(c): ...", "src/conf/c.yaml"),
        ("import hydra\n@hydra.main(version_base=None, config_path='../conf')\ndef f(c): ...", "conf/c.yaml"),
        ("import hydra\nwith hydra.initialize('../conf'): f()", "conf/c.yaml"),
        ("p.add_argument('-v', '--vocab', default='conf/v.txt')", "conf/v.txt"),
    ],
)
def test_a_file_that_code_opens_counts(judge: Judge, code: str, path: str) -> None:
    files = {SCRIPT: code, "src/pkg/__init__.py": "", path: "one", "README.md": "one"}
    assert judge.runs(files, {path: "two"})
    assert judge.runs({SCRIPT: code, "src/pkg/__init__.py": ""}, {path: "one"})
    assert not judge.runs(files, {"README.md": "two"})


@pytest.mark.parametrize(
    "code",
    [
        "open('v.txt', 'w').write(x)",
        "Path('v.txt').open(mode='ab')",
        "h5py.File('v.txt', 'w')",
        "df.to_csv('v.txt')",
        "Path('v.txt').write_text(x)",
        "print('v.txt')",
        "'''Reads v.txt.'''",
        "names = ['v.txt']",
        "open('https://example.com/v.txt')",
        "', '.join(['v.txt'])",
        "open('src/v.txt')",
    ],
)
def test_what_is_written_or_only_named_does_not_count(judge: Judge, code: str) -> None:
    assert not judge.runs({SCRIPT: code, "v.txt": "one"}, {"v.txt": "two"})


def test_what_is_declared_counts_as_it_is_declared(judge: Judge) -> None:
    code = "yaml.safe_load(open('params.yaml'))\nos.listdir('conf')\npd.read_csv('d.csv')"
    declared = single(SCRIPT, params=("train", "conf/a.yaml:x"), inputs=(("d", RepositoryInput("d.csv")),))
    files = {
        SCRIPT: code,
        "params.yaml": "train: 1\nother: 1",
        "conf/a.yaml": "x: 1\ny: 1",
        "conf/b.yaml": "",
        "d.csv": "1",
    }
    assert not judge.runs(files, {"params.yaml": "train: 1\nother: 2"}, declared)
    assert not judge.runs(files, {"conf/a.yaml": "x: 1\ny: 2"}, declared)
    assert judge.runs(files, {"params.yaml": "train: 2\nother: 1"}, declared)
    assert judge.runs(files, {"d.csv": "2"}, declared)


def test_an_option_that_is_given_has_no_default(judge: Judge) -> None:
    files = {SCRIPT: "p.add_argument('--data', default='d.csv')", "d.csv": "1", "e.csv": "1"}
    given = single(SCRIPT, inputs=(("data", RepositoryInput("e.csv")),))
    assert judge.runs(files, {"d.csv": "2"})
    assert not judge.runs(files, {"d.csv": "2"}, given)


def test_metrics_that_another_component_makes_do_not_count(reader: IsolatedReader) -> None:
    steps = (Component("train", SCRIPT), Component("evaluate", "e.py", metrics="m.json"))
    declared = manifest(Pipeline("p", "local", steps))
    files = {SCRIPT: "json.load(open('m.json'))", "e.py": "", "m.json": "1"}
    assert "m.json" not in part_values(assessed(declared, files, reader), PartKind.PATH)


def test_an_opened_file_is_called_a_file_and_counts_by_its_bytes(reader: IsolatedReader) -> None:
    files = {SCRIPT: "open('a.txt')\nopen('b.py')", "a.txt": "1", "b.py": "x = 1  # why"}
    found = part_values(assessed(single(SCRIPT), files, reader), PartKind.PATH)
    plain = part_values(assessed(single(SCRIPT), {**files, "b.py": "x = 1"}, reader), PartKind.PATH)
    assert found.keys() == {"a.txt", "b.py"}
    assert found["b.py"] != plain["b.py"]


def test_folders_are_read_through_links(judge: Judge) -> None:
    files = {SCRIPT: "os.listdir('conf')\nglob.glob('tables/*.csv')", "conf": Link("real"), "tables": Link("real")}
    both = {**files, "real/a.csv": "1", "real/b.txt": "1"}
    assert judge.runs(both, {"real/b.txt": "2"})
    assert judge.runs(both, {"real/c.txt": "2"})
    only = {SCRIPT: "glob.glob('tables/*.csv')", "tables": Link("real"), "real/a.csv": "1", "real/b.txt": "1"}
    assert judge.runs(only, {"real/a.csv": "2"})
    assert not judge.runs(only, {"real/b.txt": "2"})
