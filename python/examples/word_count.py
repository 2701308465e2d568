def count(args):
    return {'words': len(args['text'].split())}
