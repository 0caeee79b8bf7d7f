// Every task through the unmodified JavaScript client of Hugging Face, which checks answers itself. Arguments: the server's URL and the folder
// of golden media; the server has the tiny models of tests/golden/tasks under their folders' names. Not asked: visualQuestionAnswering, which wants
// a score that answers of a generating model do not have, here as in the reference's pipeline.
const fs = require('fs');
const path = require('path');
const [url, media] = process.argv.slice(2);
const picture = new Blob([fs.readFileSync(path.join(media, 'picture.png'))], { type: 'image/png' });
const sound = new Blob([fs.readFileSync(path.join(media, 'sound.wav'))], { type: 'audio/wav' });
let failed = 0;
(async () => {
  const { InferenceClient } = await import(require.resolve('@huggingface/inference'));
  const at = (model, task) => new InferenceClient('hf_x', { endpointUrl: `${url}/models/${model}${task ? '/pipeline/' + task : ''}` });
  const cases = {
    textClassification: () => at('bert_classifier').textClassification({ inputs: 'I love the bird' }),
    tokenClassification: () => at('bert_tags').tokenClassification({ inputs: 'anna sings in berlin' }),
    questionAnswering: () => at('bert_answers').questionAnswering({ inputs: { question: 'who sings?', context: 'anna sings' } }),
    fillMask: () => at('bert_mask').fillMask({ inputs: 'the [MASK] sings' }),
    zeroShotClassification: () => at('bert_nli').zeroShotClassification({ inputs: 'the bird sings', parameters: { candidate_labels: ['bird', 'good'] } }),
    summarization: () => at('t5', 'summarization').summarization({ inputs: 'the bird sings' }),
    translation: () => at('t5', 'translation').translation({ inputs: 'the bird sings' }),
    textGeneration: () => at('gpt2').textGeneration({ inputs: 'the bird', parameters: { max_new_tokens: 3 } }),
    featureExtraction: () => at('bert_one', 'feature-extraction').featureExtraction({ inputs: 'the bird' }),
    sentenceSimilarity: () => at('bert_one', 'sentence-similarity').sentenceSimilarity({ inputs: { source_sentence: 'the bird', sentences: ['a bird', 'a fish'] } }),
    imageClassification: () => at('vit_classifier').imageClassification({ data: picture }),
    objectDetection: () => at('yolos').objectDetection({ data: picture }),
    imageSegmentation: () => at('segformer').imageSegmentation({ inputs: picture }),
    zeroShotImageClassification: () => at('clip').zeroShotImageClassification({ inputs: { image: picture }, parameters: { candidate_labels: ['a bird', 'a fish'] } }),
    imageToText: () => at('vit_words').imageToText({ data: picture }),
    automaticSpeechRecognition: () => at('wav2vec2_ctc').automaticSpeechRecognition({ data: sound }),
    audioClassification: () => at('wav2vec2_keywords').audioClassification({ data: sound }),
    textToSpeech: () => at('vits').textToSpeech({ inputs: 'hello' }),
  };
  for (const [name, action] of Object.entries(cases)) {
    try {
      const answer = await action();
      if (answer === undefined || answer === null) throw new Error('no answer');
      console.log('ok js', name);
    } catch (error) {
      failed = 1;
      console.log('FAILED js', name, error, JSON.stringify(error.httpResponse?.body ?? ''));
    }
  }
  process.exit(failed);
})();
