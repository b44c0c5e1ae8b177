NAME = 'from_conf'
