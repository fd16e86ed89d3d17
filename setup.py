"Reads the requirements out of settings.ini; everything else about the package stands in pyproject.toml."
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

cfg = ConfigParser()
cfg.read(Path(__file__).parent/'settings.ini', encoding='utf-8')
need = cfg['DEFAULT']
setup(
    install_requires=need['requirements'].split(),
    extras_require={
        key.removesuffix('_requirements'): need[key].split() for key in need if key.endswith('_requirements')},
)
