# What the student of KD-CI-CAM takes from its two teachers, on CUB.
distillation = dict(
    type='mmext.Distiller',
    router=dict(type='mmext.SampleRouter'),
    task_loss=0.2,
    records=dict(
        logits=dict(net='student', module='head.scores'),
        cls_logits=dict(net='cls', module='head.scores'),
        cam=dict(net='student', module='head.cam'),
        loc_cam=dict(net='loc', module='head.cam')),
    losses=dict(
        loss_cls_kd=dict(  # probabilities where the divergence has their logarithm: as the authors train
            loss=dict(type='mmext.TemperedKLLoss', tau=15.0, kl_input='prob'),
            pred='logits',
            target='cls_logits',
            weight=0.8),
        loss_loc_kd=dict(
            loss=dict(type='mmext.SigmoidMapLoss', tau=15.0),
            pred='cam',
            target='loc_cam',
            weight=0.8)))
