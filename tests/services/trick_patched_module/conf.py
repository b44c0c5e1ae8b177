NAME = 'original'
