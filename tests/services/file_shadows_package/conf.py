NAME = 'module'
