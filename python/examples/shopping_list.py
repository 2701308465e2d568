def run(input, context):
    items = [item.strip() for item in input['prompt'].split(',')]
    for number, item in enumerate(items, 1):
        if context.cancelled:
            return
        context.progress(number / len(items), f'{item} …')
        yield f'{number}. {item}\n'
