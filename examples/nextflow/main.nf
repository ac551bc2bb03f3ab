// One model of all images, a result and a verdict for each, and a table of the verdicts.
//
//     python ../make_images.py images
//     nextflow run main.nf

params.images = 'images/*.tif'
params.na = 1.3
params.wavelength = 0.525
// 0 takes pretrained weights as they are; null for a full training.
params.steps = 0
params.outdir = 'results'

process TRAIN {
    publishDir params.outdir, mode: 'copy'

    input:
    path images

    output:
    path 'model.safetensors'

    script:
    def steps = params.steps == null ? '' : "--steps ${params.steps}"
    """
    zsdeconvnet train ${images} -o model.safetensors --seed 1 -v --na ${params.na} --wavelength ${params.wavelength} ${steps}
    """
}

process PREDICT {
    tag "${image.baseName}"
    publishDir params.outdir, mode: 'copy'

    input:
    tuple path(model), path(image)

    output:
    tuple path("${image.baseName}_deconvolved.tif"), path("${image.baseName}_deconvolved.json")

    script:
    """
    zsdeconvnet predict ${model} ${image} -o ${image.baseName}_deconvolved.tif -v
    """
}

// A result that fails a measure is a finding and no failure of the workflow; with --strict the
// command would end with exit code 3.
process VERDICT {
    tag "${image.baseName}"
    publishDir params.outdir, mode: 'copy'

    input:
    tuple path(model), path(image)

    output:
    path "${image.baseName}_verdict.json"

    script:
    """
    zsdeconvnet verdict ${image} -m ${model} --json > ${image.baseName}_verdict.json
    """
}

workflow {
    images = Channel.fromPath(params.images, checkIfExists: true)
    model = TRAIN(images.collect())
    pairs = model.combine(images)
    PREDICT(pairs)
    VERDICT(pairs)
}
