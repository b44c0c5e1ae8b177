from .impl import First as First
from .impl import Second

NAME = 'starred'
__all__ = ['First', 'NAME']
