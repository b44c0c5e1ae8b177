import service


def name():
    return service.PREFIX + 'ular'
