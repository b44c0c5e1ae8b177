import os

if not os.environ.get('NAMED'):
    raise ImportError('no')
