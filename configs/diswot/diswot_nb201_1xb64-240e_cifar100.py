# NAS-Bench-201: evolution over its 15,625 cells, a thousand of them scored. The teacher is ResNet-56, not
# the benchmark's best cell: the search draws its weights anyway, the distillation needs trained ones.
_base_ = 'diswot_resnet-s1_1xb64-240e_cifar100.py'

model = dict(
    student=dict(
        backbone=dict(
            _delete_=True,
            type='mmext.NASBench201Net',
            cell=[
                'nor_conv_3x3', 'skip_connect', 'nor_conv_3x3', 'skip_connect', 'avg_pool_3x3',
                'nor_conv_1x1'
            ])))

operations = ['none', 'skip_connect', 'nor_conv_1x1', 'nor_conv_3x3', 'avg_pool_3x3']
search = dict(
    space={
        '_delete_': True,
        **{f'model.student.backbone.cell.{edge}': operations
           for edge in range(6)}
    },
    population=36,
    tournament=8,
    evaluations=1000)
