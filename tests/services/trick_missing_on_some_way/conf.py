import os

if os.environ.get('NAMED'):
    NAME = 'named'
