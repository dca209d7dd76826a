"""Scripts that run inside a framework's own environment: `PYTHON tensorflow2.py FOLDER` writes small model files and
`said.json`: what the framework itself says of each. They import nothing of this repository.

tests/frameworks.py makes the environments with uv; `python -m tests.frameworks` renews tests/models/small with all.
"""
