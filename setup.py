"""Packages and dependencies; settings of the tools are in pyproject.toml."""

from setuptools import setup

setup(
    name="avcorr",
    version="0.1.0",
    description="Learn what sight and sound have in common, from sharded video",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[
        "shards",
        "shards.exports",
        "pipeline",
        "pipeline.corpus",
        "pipeline.corpus.classes",
        "model",
        "model.report",
        "configs",
    ],
    package_data={"model.report": ["*.jinja", "*.css", "*.js"], "configs": ["*.yaml"]},
    install_requires=[
        "torch>=2.11",
        "torchvision>=0.26",
        "webdataset>=1.0.2",
        "ffmpeg-python>=0.2.0",
        "imageio-ffmpeg>=0.6.0",  # ships a static ffmpeg
        "opencv-python-headless>=4.10",  # draws the corpus that the demo renders
        "soundfile>=0.13",
        "simplejpeg>=1.8",  # libjpeg-turbo: half the time of Pillow for each frame
        "numpy>=2.0",
        "pillow>=11.0",
        "pyyaml>=6.0",
        "pydantic>=2.10",
        "tqdm>=4.66",
        "tensorboard>=2.18",
        "scikit-learn>=1.5",  # t-SNE
        "jinja2>=3.1",
    ],
    extras_require={
        "pyav": ["av>=14.0"],  # shard.decoder: pyav
        "test": [
            "pytest>=8.3",
            "hypothesis>=6.100",
            "av>=14.0",
            "datasets>=4.0",
            "wids>=0.1.11",
            "torchcodec>=0.8",
            "ruff>=0.9",
        ],
    },
)
