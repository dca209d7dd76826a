"""The whole run, step by step: ask -> plan -> environment -> jobs -> verdict. The only package that knows all others."""
