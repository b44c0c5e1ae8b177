import values

ENVS = list(values.ENVS)
