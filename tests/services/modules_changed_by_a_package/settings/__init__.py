from . import values

values.LABELS.update(tier="gold")
values.IMAGE.python_packages("idna")
