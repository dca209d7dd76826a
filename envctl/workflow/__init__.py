"""The whole run, step by step: ask -> plan -> environment -> jobs -> verdict. It alone knows all others."""
